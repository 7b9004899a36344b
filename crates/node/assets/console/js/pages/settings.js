// Settings and tokens: how this page looks, who you are to the node, and where programs find the same things.

import { ask, keep, token } from '../api.js';
import { el } from '../element.js';
import { Life } from '../life.js';
import { head, facts, mark, panel, tell } from '../parts.js';
import { session } from '../session.js';
import { THEMES, choose, chosen } from '../theme.js';
import { administration } from './tokens.js';

export const title = 'Settings and tokens';

const SCOPES = [['read', 'see everything'], ['act', 'hand in requests, orders and descriptions that are signed already'], ['admin', 'manage the node']];

export async function show(root, _, life) {
  const looks = panel('Appearance');
  const you = panel('You and this node');
  const make = panel('Making tokens');
  const programs = panel('For programs');
  const grid = el('div', { class: 'grid' }, looks.root, you.root, make.root, programs.root);
  let managed = null; // what an administrator has besides, until another token is given
  const manage = () => {
    const mine = new Life();
    life.signal.addEventListener('abort', () => mine.end(), { once: true });
    return { life: mine, panels: administration(mine) };
  };
  root.append(head('Settings and tokens', 'The node’s own settings are in wattle.toml: here they are only shown.'), grid);
  looks.show(themes());
  make.show(el('div', { class: 'pad stack' },
    el('p', null, el('code', null, 'wattle token create'), ' makes them on the node’s own machine. With a token that has the scope “admin”, this page does, too.'),
    el('p', { class: 'faint' }, 'A node that listens on this machine only may be open without a token ([http] open = "loopback"); the demo is.')));
  programs.show(el('div', { class: 'pad stack' }, el('p', null, 'The console does nothing that the API does not. '),
    el('p', { class: 'row' }, el('a', { class: 'button', href: '/api' }, 'API reference'), el('a', { class: 'button', href: '/api/openapi.json' }, 'OpenAPI 3.1'), el('code', null, '/metrics'))));
  const who = async (again) => {
    try {
      const s = await session(again);
      if (life.signal.aborted) return;
      managed?.life.end();
      managed?.panels.forEach((node) => node.remove());
      managed = (s.scopes ?? []).includes('admin') ? manage() : null;
      grid.append(...(managed?.panels ?? []));
      you.show(el('div', null, facts([
        ['Known as', s.name ?? 'nobody in particular'],
        ['Token', token() ? 'kept in this tab' : s.open ? 'none needed from this machine' : 'none'],
        ...SCOPES.map(([scope, means]) => [`May ${means}`, (s.scopes ?? []).includes(scope) ? mark('yes', 'good') : mark('no')]),
      ]), el('p', { class: 'row pad' }, el('button', { type: 'button', onclick: async () => { if (await ask(null)) await who(true); } }, token() ? 'Use another token' : 'Give a token'),
        token() && el('button', { type: 'button', onclick: () => { keep(null); tell('Forgotten.'); void who(true); } }, 'Forget the token'))));
    } catch (problem) {
      you.fail(problem, () => who(true));
    }
  };
  await who(false);
}

function themes() {
  const words = { system: 'As the system', light: 'Light', dark: 'Dark' };
  const buttons = THEMES.map((theme) => el('button', { type: 'button', 'aria-pressed': String(theme === chosen()), onclick: () => {
    choose(theme);
    buttons.forEach((b, i) => b.setAttribute('aria-pressed', String(THEMES[i] === theme)));
  } }, words[theme]));
  return el('div', { class: 'pad row', role: 'group', 'aria-label': 'Colours' }, buttons);
}
