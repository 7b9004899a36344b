// Before anything is painted: the colours that were chosen here, if any. A classic script, so that it runs at once.
(() => {
  try {
    const theme = localStorage.getItem('wattle-theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch { /* storage may be forbidden: then the system's colours hold */ }
})();
