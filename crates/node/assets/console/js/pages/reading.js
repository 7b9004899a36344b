// One reading and its receipt: the way from the value to the committee's signatures.

import { get, path, text } from '../api.js';
import { el } from '../element.js';
import { number, reading as valueOf, time, topic } from '../format.js';
import { copyable, facts, head, id, panel, save, standing, tell } from '../parts.js';
import { check } from '../receipt.js';

export const title = 'Reading';

const POLL_MS = 500;

export async function show(root, reference, life) {
  const what = panel('The reading');
  const proof = panel('Its receipt');
  root.append(head('Reading', reference.length > 64 ? reference : null), el('div', { class: 'grid' }, what.root, proof.root));
  let last = null;
  let proven = false;
  const again = life.every(POLL_MS, async () => {
    if (proven) return;
    try {
      last = await get(`/readings/${path(reference)}`, {}, life.signal);
    } catch (problem) {
      what.fail(problem, again);
      proof.empty('There is no receipt without the reading.');
      proven = true;
      return;
    }
    const r = last;
    root.querySelector('h1').textContent = `${topic(r.topic).site}/${topic(r.topic).device} · ${valueOf(r)}`;
    what.show(shown(r));
    if (r.standing === 'pending') {
      proof.empty('On its way: the receipt is there as soon as a milestone confirms the reading.');
      return;
    }
    proven = true;
    await receipt(proof, r, life);
  });
}

function shown(r) {
  return facts([
    ['Value', el('strong', null, valueOf(r))],
    ['Taken', time(r.time_us / 1000)],
    ['Topic', el('a', { href: `#/device/${r.topic}` }, r.topic)],
    ['State', standing(r.standing)],
    ['Number', r.sequence === null ? null : number(r.sequence)],
    ['Signed by the device', r.device_key ? id(r.device_key) : 'no'],
    ['Registered', r.registration ? r.registration.state : 'no'],
    ['Id', copyable(r.id)],
  ]);
}

/** Fetches the receipt and checks it, step by step. */
async function receipt(panel_, r, life) {
  let body;
  try {
    body = await text(`/receipts/${r.id}`, life.signal);
  } catch (problem) {
    if (problem.status === 409) {
      setTimeout(() => { if (!life.signal.aborted) void receipt(panel_, r, life); }, POLL_MS);
      panel_.empty('Confirmed; the committee’s signatures are being collected.');
      return;
    }
    panel_.fail(problem, () => receipt(panel_, r, life));
    return;
  }
  const answer = el('div', { 'aria-live': 'polite', 'data-verdict': '' }, el('p', { class: 'empty' }, 'Checking…'));
  panel_.show(el('div', null, answer, el('div', { class: 'row pad' },
    el('button', { type: 'button', class: 'main', onclick: () => verify() }, 'Check again'),
    el('button', { type: 'button', onclick: () => { save(`receipt-${r.id.slice(0, 12)}.json`, body); tell('Saved. “wattle verify FILE --genesis genesis.json” checks it offline.'); } }, 'Download'),
    el('button', { type: 'button', onclick: () => verify(flipped(body)) }, 'Try it with one bit flipped'),
    el('a', { href: '#/receipts' }, 'Choose what is trusted'))));
  const verify = async (given = body) => {
    const { good, box, steps } = await check(given, life.signal);
    answer.replaceChildren(box, steps ?? way(r, JSON.parse(given), good ? 'good' : ''));
  };
  await verify();
}

/** The receipt with one bit of the reading changed: what a forger would hand in. */
export function flipped(body) {
  const held = JSON.parse(body);
  const at = held.reading.length - 4;
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const other = letters[letters.indexOf(held.reading[at]) ^ 1];
  return JSON.stringify({ ...held, reading: `${held.reading.slice(0, at)}${other}${held.reading.slice(at + 1)}` });
}

/** The way in words, where the node checked: it says of the whole whether it holds. */
function way(r, held, kind) {
  const step = (name, ...text) => el('li', { class: kind }, el('h3', null, name), text.map((t) => el('p', null, t)));
  return el('ol', { class: 'way' },
    step('Reading', `${valueOf(r)} from ${r.topic}, with a salt that hides its neighbours.`),
    step('Batch', `Place ${number(held.leaf_index)} of its batch; ${held.batch_path.length} hashes lead to the root.`),
    step('Message', el('span', null, id(r.message), ` holds the root; ${held.message_path.length} hashes lead on.`)),
    step('Milestone', `Number ${number(r.height)}${held.anchor ? `, in the history of a later one by ${held.anchor.history_path.length} hashes` : ''}.`),
    step('Finalization', `The committee’s signatures${held.handovers.length ? `, and ${number(held.handovers.length)} changes of committee back to the genesis` : '; it is the committee of the genesis'}.`));
}
