// Wallets and services: look one up, open your own, pay, buy.

import { get } from '../api.js';
import { unhex } from '../bytes.js';
import { el } from '../element.js';
import { coins, number, short, time, units } from '../format.js';
import { copyable, facts, failure, field, head, id, mark, panel, save, standing, table, tabs, tell } from '../parts.js';
import { may } from '../session.js';
import { able, fresh, fromFile } from '../wallet/key.js';
import { outcome, spend, use, wallet } from '../wallet/spend.js';

export const title = 'Wallets and services';

const EVERY_MS = 2_000;
const LIMIT = 50;
const KEY = /^[0-9a-f]{64}$/;

export async function show(root, asked, life) {
  const cannot = await able();
  const allowed = await may('act');
  const signer = panel('Your wallet', { wide: true });
  const shop = panel('Services', { wide: true, note: 'What providers of this network sell. The price is held until the provider says that it was delivered.' });
  const look = el('div', { class: 'stack' });
  const pay = panel('Pay', { wide: true });
  const mine = el('div', { class: 'stack' }, signer.root, look, pay.root);
  const looked = el('div', { class: 'stack' });
  const other = el('div', { class: 'stack' }, finder(looked, life), looked);
  let ending = null; // of what is shown of the opened wallet
  const own = () => {
    ending?.abort();
    ending = new AbortController();
    signer.show(opener(cannot, own));
    const key = wallet();
    pay.root.hidden = !key;
    look.replaceChildren();
    if (!key) return;
    watch(look, key.id, life, ending.signal);
    pay.show(payment(key, allowed, life));
  };
  own();
  if (KEY.test(asked)) watch(looked, asked, life, life.signal);
  root.append(head('Wallets and services', 'Keys stay with you: this page signs with a key file you open, and forgets it when you leave.'),
    tabs('Wallets and services', [['Services', shop.root], ['Your wallet', mine], ['Look one up', other]], KEY.test(asked) ? 2 : 0));
  services(shop, allowed, life);
}

/** Opening a key, or what is opened. */
function opener(cannot, changed) {
  const key = wallet();
  if (cannot) return el('p', { class: 'empty' }, cannot);
  if (key) {
    return el('div', { class: 'pad row' }, el('span', null, 'Open: '), copyable(key.id),
      el('button', { type: 'button', class: 'small', onclick: () => { use(null); changed(); } }, 'Close'));
  }
  const file = el('input', { type: 'file', id: 'key-file' });
  const answer = el('div');
  file.addEventListener('change', async () => {
    try {
      use(await fromFile(await file.files[0].text()));
      tell('The wallet is open in this page.');
      changed();
    } catch (problem) {
      answer.replaceChildren(failure(problem));
    } finally {
      file.value = '';
    }
  });
  const create = async () => {
    const made = await fresh();
    save(`${made.key.id.slice(0, 12)}.key`, made.file, 'text/plain');
    use(made.key);
    tell('Made. Keep the file that was just saved: nobody can restore it.');
    changed();
  };
  return el('div', null, el('form', { onsubmit: (e) => e.preventDefault() },
    field('Key file', file, 'A plain key file, of “wattle wallet create --plain” or a node’s node.key. It is read here and not sent anywhere.'),
    el('button', { type: 'button', onclick: create }, 'Make a new wallet')), answer);
}

function finder(looked, life) {
  const find = panel('Look a wallet up');
  const name = el('input', { type: 'text', pattern: '[0-9a-f]{64}', required: true, spellcheck: 'false', autocomplete: 'off' });
  let ending = null;
  find.show(el('form', { onsubmit: (event) => {
    event.preventDefault();
    ending?.abort();
    ending = new AbortController();
    watch(looked, name.value.trim(), life, ending.signal);
  } }, el('div', { class: 'inline' }, field('Wallet ID', name, '64 hexadecimal digits'), el('button', { class: 'main', type: 'submit' }, 'Show'))));
  return find.root;
}

/** What a wallet has and what it spent, kept up to date. */
function watch(box, key, life, signal) {
  const has = panel(`Wallet ${short(key)}`);
  const spent = panel('Requests', { note: 'What it spent through this node, the newest first.' });
  box.replaceChildren(has.root, spent.root);
  const rows = table([
    { title: 'Request', cell: (s) => id(s.id) },
    { title: 'For', cell: (s) => purpose(s.operation) },
    { title: 'Price', num: true, cell: (s) => coins(s.price) },
    { title: 'State', cell: (s) => standing(s.status) },
    { title: 'Milestone', num: true, cell: (s) => (s.height === null ? '–' : number(s.height)) },
    { title: 'Signed', cell: (s) => time(s.from_ms) },
  ], (s) => s.id, 'Requests of the wallet');
  const now = life.every(EVERY_MS, async () => {
    if (signal.aborted) return;
    try {
      const [w, list] = await Promise.all([get(`/wallets/${key}`, {}, signal), get('/spends', { wallet: key, limit: LIMIT }, signal)]);
      has.show(holdings(w));
      if (list.spends.length) spent.show(rows.update(list.spends));
      else spent.empty('Nothing yet.');
    } catch (problem) {
      has.fail(problem, now);
      if (problem.name !== 'AbortError') spent.empty('Not known.');
    }
  });
  life.on('spend', (s) => { if (s.wallet === key) void now(); });
}

function holdings(w) {
  return facts([
    ['Purse', el('strong', { 'data-purse': w.purse.available }, coins(w.purse.available))],
    ['On its way', w.purse.available === w.purse.balance ? null : `${coins(w.purse.balance)} after the last milestone`],
    ['Account', `${number(w.balance)} DCoin`],
    ['Staked', w.stakes.length ? w.stakes.map((s) => `${number(s.staked)} with ${s.name}`).join(', ') : null],
    ['Requests executed', number(w.purse.number)],
    ['Known to the ledger', w.known ? null : 'not yet'],
    ['ID', copyable(w.key)],
  ]);
}

function purpose(operation) {
  switch (operation.kind) {
    case 'transfer': return el('span', null, 'to ', id(operation.to, `#/wallets/${operation.to}`));
    case 'buy': return el('span', null, 'service ', id(operation.service));
    default: return 'back to the account';
  }
}

/** Signs and sends, with a bar that says how far it is. */
async function go(answer, button, what, price, life) {
  const bar = el('progress', { max: '1', value: '0', 'aria-label': 'Progress' });
  const words = el('p', { class: 'faint' });
  answer.replaceChildren(el('div', { class: 'pad' }, bar, words));
  button.disabled = true;
  try {
    const now = await spend(wallet(), what, price, (text, part) => { words.textContent = text; bar.value = part; }, life.signal);
    const { good, text } = outcome(now);
    answer.replaceChildren(el('div', { class: `verdict ${good ? 'good' : 'bad'}`, 'data-outcome': now.status }, el('strong', null, good ? 'Done' : 'Not done'), el('p', null, text), el('p', null, 'Request ', id(now.id))));
    tell(text);
  } catch (problem) {
    if (problem.name !== 'AbortError') answer.replaceChildren(failure(problem));
  } finally {
    button.disabled = false;
  }
}

const FORBIDDEN = 'Your token may read, not act. A token with the scope “act” can.';

function payment(key, allowed, life) {
  const to = el('input', { type: 'text', required: true, pattern: '[0-9a-f]{64}', spellcheck: 'false', autocomplete: 'off' });
  const amount = el('input', { type: 'text', required: true, inputmode: 'decimal', autocomplete: 'off' });
  const answer = el('div', { 'aria-live': 'polite' });
  const send = el('button', { class: 'main', type: 'submit', disabled: !allowed }, 'Pay');
  return el('div', null, el('form', { onsubmit: (event) => {
    event.preventDefault();
    const price = units(amount.value);
    if (price === null || price === 0n) { answer.replaceChildren(failure({ title: 'No amount', message: 'Give DCoin with at most six digits after the point, such as 2.5.' })); return; }
    void go(answer, send, { kind: 'transfer', to: unhex(to.value.trim(), 32) }, price, life);
  } }, field('To', to, 'the wallet ID of who is paid'), field('DCoin', amount), send, !allowed && el('p', { class: 'faint' }, FORBIDDEN)), answer);
}

function services(panel_, allowed, life) {
  const buying = el('div', { 'aria-live': 'polite' });
  const rows = table([
    { title: 'Service', cell: (s) => s.name },
    { title: 'Price', num: true, cell: (s) => coins(s.price) },
    { title: 'Buy', cell: (s) => el('button', { type: 'button', class: 'small', disabled: !s.open, 'aria-label': `Buy ${s.name}`, onclick: () => offer(buying, s, allowed, life) }, 'Buy') },
    { title: 'Does', cell: (s) => does(s.kind) },
    { title: 'Provider', cell: (s) => id(s.provider, `#/wallets/${s.provider}`) },
    { title: 'State', cell: (s) => mark(s.open ? 'open' : 'closed', s.open ? 'good' : 'plain') },
  ], (s) => s.id, 'Services');
  const now = life.every(EVERY_MS, async () => {
    try {
      const list = (await get('/services', { limit: LIMIT }, life.signal)).services;
      if (list.length) panel_.show(shop(rows.update(list), buying));
      else panel_.empty('Nobody offers anything yet. “wattle service register” does.');
    } catch (problem) {
      panel_.fail(problem, now);
    }
  });
}

let shelf = null;
/** The same box for the same parts, so that showing it again changes nothing. */
function shop(rows, buying) {
  if (shelf?.rows !== rows) shelf = { rows, box: el('div', null, rows, buying) };
  return shelf.box;
}

function does(kind) {
  switch (kind.kind) {
    case 'actuate': return `publishes on ${kind.topic}`;
    case 'data': return 'gives access to data';
    default: return 'calls a contract';
  }
}

/** The form that buys a service. */
function offer(box, service, allowed, life) {
  if (!wallet()) {
    box.replaceChildren(el('div', { class: 'verdict' }, el('strong', null, 'Open a wallet first'), el('p', null, 'Under “Your wallet”: choose its key file. Then come back and buy.')));
    return;
  }
  const argument = el('input', { type: 'text', maxlength: '256', autocomplete: 'off' });
  const answer = el('div', { 'aria-live': 'polite' });
  const buy = el('button', { class: 'main', type: 'submit', disabled: !allowed }, `Buy for ${coins(service.price)}`);
  box.replaceChildren(el('form', { onsubmit: (event) => {
    event.preventDefault();
    const what = { kind: 'buy', service: unhex(service.id, 32), argument: new TextEncoder().encode(argument.value) };
    void go(answer, buy, what, BigInt(service.price), life);
  } }, el('h3', null, `Buy ${service.name}`), field('Argument', argument, 'What the service is told; it may be empty.'),
  el('p', { class: 'faint' }, `Paid from ${short(wallet().id)}. ${service.silence === 'refund' ? 'If the provider says nothing in time, the price comes back.' : 'If the provider says nothing in time, it keeps the price.'}`),
  buy, !allowed && el('p', { class: 'faint' }, FORBIDDEN)), answer);
  argument.focus();
}
