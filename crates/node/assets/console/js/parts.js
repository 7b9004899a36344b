// The parts that pages are made of: panels with their three states, tables, tiles, tabs, marks.

import { el } from './element.js';
import { short } from './format.js';

let made = 0;
const next = (what) => `${what}-${(made += 1)}`;

/** Says something to everybody, also to those who only hear the page. */
export function tell(text) {
  const told = document.getElementById('told');
  told.textContent = text;
  told.dataset.shown = 'yes';
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => { delete told.dataset.shown; }, 6_000);
}

/** The head of a page. */
export function head(title, text, ...more) {
  return el('header', { class: 'head' }, el('div', null, el('h1', null, title), text && el('p', null, text)), more.length ? el('div', { class: 'row' }, more) : null);
}

/** A panel that is loading until it `show`s something or says why it cannot. */
export function panel(title, { note = null, wide = false, tools = null } = {}) {
  const id = next('panel');
  const body = el('div', { class: 'body' }, el('p', { class: 'empty', 'aria-busy': 'true' }, 'Loading…'));
  const root = el('section', { class: wide ? 'panel wide' : 'panel', 'aria-labelledby': id },
    el('div', { class: 'caption' }, el('h2', { id }, title), tools), note && el('p', { class: 'note' }, note), body);
  let shown = null;
  return {
    root,
    /** The contents; the same node again costs nothing. */
    show(...content) {
      if (content.length === 1 && content[0] === shown) return;
      shown = content.length === 1 ? content[0] : null;
      body.replaceChildren(...content.filter(Boolean));
    },
    empty(text, ...more) {
      shown = null;
      body.replaceChildren(el('p', { class: 'empty' }, text), ...more);
    },
    /** What went wrong, in the API's own words. What was shown before stays if it is still true enough. */
    fail(problem, again = null) {
      if (problem.name === 'AbortError') return;
      shown = null;
      body.replaceChildren(failure(problem, again));
    },
  };
}

/** What went wrong, and what to do. */
export function failure(problem, again = null) {
  const title = problem.status === 403 ? 'The token does not allow this' : (problem.title ?? 'Something is wrong here');
  return el('div', { class: 'failure', role: 'alert' },
    el('p', null, el('strong', null, title)),
    el('p', null, problem.message),
    again && el('button', { type: 'button', class: 'quiet', onclick: again }, 'Try again'));
}

/** A table whose rows stay where they are while nothing about them changes, so that focus and selection survive.
 *  columns: [{ title, cell(row), num }]; key(row) names a row. */
export function table(columns, key, label) {
  const body = el('tbody');
  const rows = new Map();
  const root = el('div', { class: 'scroll', role: 'region', 'aria-label': label, tabindex: '0' },
    el('table', null, el('thead', null, el('tr', null, columns.map((c) => el('th', { scope: 'col', class: c.num ? 'num' : null }, c.title)))), body));
  root.update = (list) => {
    const seen = new Set();
    const lines = list.map((row) => {
      const name = String(key(row));
      const sign = JSON.stringify(row);
      seen.add(name);
      let line = rows.get(name);
      if (!line || line.sign !== sign) {
        const fresh = el('tr', null, columns.map((c) => el('td', { class: c.num ? 'num' : null }, c.cell(row))));
        if (line?.node.contains(document.activeElement)) {
          line.node.replaceChildren(...fresh.childNodes);
          line.node.querySelector('a, button')?.focus();
          line.sign = sign;
        } else {
          line = { node: fresh, sign };
        }
        rows.set(name, line);
      }
      return line.node;
    });
    [...rows.keys()].filter((name) => !seen.has(name)).forEach((name) => rows.delete(name));
    const same = lines.length === body.children.length && lines.every((line, i) => body.children[i] === line);
    if (!same) arrange(body, lines);
    return root;
  };
  return root;
}

/** Puts lines into a body in their order, moving only those that must. */
function arrange(body, lines) {
  const wanted = new Set(lines);
  [...body.children].forEach((child) => { if (!wanted.has(child)) child.remove(); });
  lines.forEach((line, i) => { if (body.children[i] !== line) body.insertBefore(line, body.children[i] ?? null); });
}

/** A figure with its name. */
export function tile(name, hint = null) {
  const value = el('span', { class: 'value' }, '–');
  const more = el('span', { class: 'more' }, hint ?? '');
  return { root: el('div', { class: 'tile' }, el('span', { class: 'name' }, name), value, more), set(text, below = null) {
    if (value.textContent !== text) value.textContent = text;
    if (below !== null && more.textContent !== below) more.textContent = below;
  } };
}

/** A short word with a colour: good, warn, bad or plain. The word says it too. */
export function mark(text, kind = 'plain') {
  return el('span', { class: `mark ${kind}` }, text);
}

/** How a message or reading stands. */
export function standing(word) {
  return mark(word, { confirmed: 'good', settled: 'good', final: 'good', certified: 'good', pending: 'plain', void: 'bad', refused: 'bad', locked: 'bad', lapsed: 'warn' }[word] ?? 'plain');
}

/** The beginning of an id, whole in its title. */
export function id(text, href = null) {
  if (!text) return '–';
  return href ? el('a', { href, class: 'id', title: text }, short(text)) : el('code', { class: 'id', title: text }, short(text));
}

/** An id in full with a button that copies it. */
export function copyable(text) {
  return el('span', { class: 'copyable' }, el('code', null, text), el('button', {
    type: 'button',
    class: 'quiet small',
    'aria-label': `Copy ${text.slice(0, 12)}`,
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(text);
        tell('Copied.');
      } catch {
        tell('The browser does not let this page copy: select the text by hand.');
      }
    },
  }, 'Copy'));
}

/** Names and what they are: [[name, node or text], …]; those without a value are left out. */
export function facts(list) {
  return el('dl', { class: 'facts' }, list.filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([name, value]) => el('div', null, el('dt', null, name), el('dd', null, value))));
}

/** Tabs with roving focus: [[name, node], …]. */
export function tabs(label, list, first = 0) {
  const pages = list.map(([, content]) => el('div', { role: 'tabpanel', id: next('tabpanel') }, content));
  const heads = list.map(([name], i) => el('button', { type: 'button', role: 'tab', id: next('tab'), 'aria-controls': pages[i].id, onclick: () => choose(i) }, name));
  pages.forEach((page, i) => page.setAttribute('aria-labelledby', heads[i].id));
  const choose = (chosen) => heads.forEach((one, i) => {
    one.setAttribute('aria-selected', String(i === chosen));
    one.tabIndex = i === chosen ? 0 : -1;
    pages[i].hidden = i !== chosen;
  });
  const bar = el('div', { role: 'tablist', 'aria-label': label, class: 'tabs', onkeydown: (event) => {
    const at = heads.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: heads.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const target = (to + heads.length) % heads.length;
    choose(target);
    heads[target].focus();
  } }, heads);
  choose(first);
  return el('div', null, bar, pages);
}

/** A field with its label, and a hint if there is one. */
export function field(name, input, hint = null) {
  input.id ||= next('field');
  if (hint) input.setAttribute('aria-describedby', `${input.id}-hint`);
  return el('div', { class: 'field' }, el('label', { for: input.id }, name), input, hint && el('small', { id: `${input.id}-hint` }, hint));
}

/** Hands a text to the person as a file. */
export function save(name, text, kind = 'application/json') {
  const url = URL.createObjectURL(new Blob([text], { type: kind }));
  const link = el('a', { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 1_000);
}
