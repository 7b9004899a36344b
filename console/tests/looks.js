// What can be said of a page's looks without eyes: names, labels, contrast, width. Runs in the page.

/** Everything that is wrong on the page as it is shown now. */
export function faults() {
  const found = [];
  const visible = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && node.getClientRects().length > 0;
  const words = (node) => node.textContent.replace(/\s+/g, ' ').trim().slice(0, 40);
  if (document.documentElement.scrollWidth > innerWidth) found.push(`the page is ${document.documentElement.scrollWidth} px wide, the window ${innerWidth}`);
  if (document.querySelectorAll('h1').length !== 1) found.push('there is not one h1');
  if (!document.documentElement.lang || !document.title.includes('wattle')) found.push('no language or title');

  for (const node of document.querySelectorAll('button, a[href], [role="tab"]')) {
    if (visible(node) && !(node.getAttribute('aria-label') ?? words(node))) found.push(`no name: ${node.outerHTML.slice(0, 80)}`);
  }
  for (const node of document.querySelectorAll('input, textarea, select')) {
    if (!node.labels?.length && !node.getAttribute('aria-label')) found.push(`no label: ${node.outerHTML.slice(0, 80)}`);
  }
  const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
  if (new Set(ids).size !== ids.length) found.push(`ids that occur twice: ${ids.filter((id, i) => ids.indexOf(id) !== i)}`);
  for (const name of ['aria-controls', 'aria-labelledby', 'aria-describedby']) {
    for (const node of document.querySelectorAll(`[${name}]`)) {
      if (!document.getElementById(node.getAttribute(name))) found.push(`${name} names nothing: ${node.outerHTML.slice(0, 80)}`);
    }
  }
  for (const table of document.querySelectorAll('main table')) {
    if (!table.closest('.u-legend, .uplot') && !table.querySelector('th[scope="col"]')) found.push('a table without heads');
  }

  // WCAG 2.2, 1.4.3
  const rgb = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const light = ({ r, g, b }) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.a === 1) return colour;
    }
    return { r: 255, g: 255, b: 255 };
  };
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.textContent.trim());
    if (!own || !visible(node) || node.closest(':disabled, .told, .skip, dialog:not([open])')) continue;
    const style = getComputedStyle(node);
    const [front, back] = [light(rgb(style.color)), light(ground(node))];
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)}: “${words(node)}” (${node.className || node.localName})`);
  }
  return found;
}
