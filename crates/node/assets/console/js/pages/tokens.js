// Tokens and the configuration, for those who may manage the node.

import { get, post, remove } from '../api.js';
import { el } from '../element.js';
import { time } from '../format.js';
import { copyable, failure, field, mark, panel, table, tell } from '../parts.js';

const EVERY_MS = 5_000;
const DAY_S = 86_400;
/** How long a token counts unless something else is said, in days. */
const DAYS = 90;
const SCOPES = [['read', 'read'], ['act', 'read and act'], ['admin', 'read, act and manage']];

/** What an administrator sees and does, as panels. */
export function administration(life) {
  const tokens = panel('Tokens', { wide: true, note: 'Who may use this node over HTTP. The node keeps a hash of each, so a token is shown once.' });
  const settings = panel('Configuration in force', { wide: true, note: 'With every default filled in. wattle.toml has it; it counts from the next start.' });
  const list = el('div');
  const box = el('div', null, list, maker(() => now()));
  const rows = table([
    { title: 'Name', cell: (t) => t.name },
    { title: 'Number', cell: (t) => el('code', null, t.id) },
    { title: 'May', cell: (t) => t.scopes.join(', ') },
    { title: 'Made', cell: (t) => time(t.created_ms) },
    { title: 'Expires', cell: (t) => (t.expired ? mark('has expired', 'warn') : t.expires_ms === null ? 'never' : time(t.expires_ms)) },
    { title: 'Revoke', cell: (t) => el('button', { type: 'button', class: 'small', 'aria-label': `Revoke ${t.name}`, onclick: () => revoke(t) }, 'Revoke') },
  ], (t) => t.id, 'Tokens');
  const revoke = async (token) => {
    try {
      await remove(`/tokens/${token.id}`, life.signal);
      tell(`The token ${token.name} is worth nothing any more.`);
    } catch (problem) {
      if (problem.name !== 'AbortError') tell(problem.message);
    }
    void now();
  };
  const now = life.every(EVERY_MS, async () => {
    try {
      const found = (await get('/tokens', {}, life.signal)).tokens;
      list.replaceChildren(found.length ? rows.update(found) : el('p', { class: 'empty' }, 'There is none yet.'));
      tokens.show(box);
    } catch (problem) {
      tokens.fail(problem, now);
    }
  });
  get('/settings', {}, life.signal).then((value) => settings.show(el('pre', { tabindex: '0' }, JSON.stringify(value, null, 2))), (problem) => settings.fail(problem));
  return [tokens.root, settings.root];
}

/** The form that makes a token. */
function maker(changed) {
  const name = el('input', { type: 'text', required: true, maxlength: '64', autocomplete: 'off' });
  const scope = el('select', null, SCOPES.map(([value, words]) => el('option', { value }, words)));
  const days = el('input', { type: 'number', required: true, min: '1', max: '36500', value: String(DAYS) });
  const answer = el('div', { 'aria-live': 'polite' });
  const make = async () => {
    try {
      const made = await post('/tokens', { name: name.value.trim(), scopes: [scope.value], expires_s: Number(days.value) * DAY_S });
      answer.replaceChildren(el('div', { class: 'verdict good' }, el('strong', null, 'Copy it now: it is not shown again'), el('p', null, copyable(made.token))));
      name.value = '';
      void changed();
    } catch (problem) {
      answer.replaceChildren(failure(problem));
    }
  };
  return el('div', null, el('form', { onsubmit: (event) => { event.preventDefault(); void make(); } },
    el('div', { class: 'inline' }, field('Name', name), field('May', scope), field('Days', days), el('button', { class: 'main', type: 'submit' }, 'Make a token'))), answer);
}
