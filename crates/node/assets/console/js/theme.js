// Light, dark, or as the system has it.

const KEY = 'wattle-theme';
export const THEMES = ['system', 'light', 'dark'];

/** What was chosen here. */
export function chosen() {
  return document.documentElement.dataset.theme ?? 'system';
}

/** Chooses, and tells whoever paints by hand (`wattle-theme` on window). */
export function choose(theme) {
  const root = document.documentElement;
  if (theme === 'system') delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    if (theme === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch { /* then it holds for this page only */ }
  window.dispatchEvent(new Event('wattle-theme'));
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => window.dispatchEvent(new Event('wattle-theme')));

/** A colour of the style sheet, for canvases. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
