// Checking a receipt: in this browser if it can, else by the node. Whoever shows a verdict says who checked, and against what.

import { post } from './api.js';
import { el } from './element.js';
import { number, short, time } from './format.js';
import { unable } from './proof/ed25519.js';
import { verifyReceipt } from './proof/receipt.js';
import { needsSameNetwork, trusted } from './trust.js';

/** A verdict, good or bad. */
export function verdictBox(good, title, ...more) {
  return el('div', { class: `verdict ${good ? 'good' : 'bad'}` }, el('strong', null, title), more.map((text) => el('p', null, text)));
}

const OFFLINE = 'This page came from a node, too: to trust none, download the receipt and run “wattle verify”, offline.';

/** What a good receipt proves, in words. */
function sentences(said) {
  const unit = said.unit ? ` ${said.unit}` : '';
  const value = typeof said.value === 'object' ? JSON.stringify(said.value) : said.value;
  return [
    `Device ${said.device} at site ${said.site}: ${said.data_type} = ${value}${unit} at ${time(Number(said.time_us) / 1000)}.`,
    `In milestone ${number(Number(said.height))} of ${time(Number(said.confirmed_ms))}, confirmed by ${said.signers.length} of ${said.committee} validators: ${said.signers.join(', ')}. Anchored by node ${said.issuer_name ?? said.issuer}.`,
    said.device_key ? `Signed by the device’s own key ${said.device_key}.` : 'The device did not sign it: that it sent this value, the node that anchored it vouches for.',
  ];
}

/** The steps of a verdict, with what was found at each. */
function way(steps) {
  const kind = (ok) => (ok === null ? '' : ok ? 'good' : 'bad');
  return el('ol', { class: 'way' }, steps.map(({ name, title, rules, ok, said }) => el('li', { class: kind(ok), 'data-step': name },
    el('h3', { title: `Rules ${rules} of docs/spec/receipt.md` }, title), el('p', null, said ?? 'Not looked at.'))));
}

async function here(given, signal) {
  const { genesis, because } = await trusted(signal);
  const { valid, why, steps, proves } = await verifyReceipt(given, genesis, { signal });
  const by = `Checked against the genesis of “${genesis.name}” (network ${short(genesis.id)}) ${because}. ${OFFLINE}`;
  const box = valid
    ? verdictBox(true, 'Verified in this browser', ...sentences(proves), by)
    : verdictBox(false, 'Refused by this browser', `${why[0].toUpperCase()}${why.slice(1)}.`, by);
  return { good: valid, box, steps: way(steps) };
}

async function there(given, signal, because) {
  await needsSameNetwork(signal);
  const text = typeof given === 'string' ? given : new TextDecoder('utf-8', { ignoreBOM: true }).decode(given);
  const said = await post('/receipts/verify', text, signal);
  const by = `Checked by this node against its own genesis, not by this browser. ${because} ${OFFLINE}`;
  const box = said.valid ? verdictBox(true, 'Verified by this node', ...sentences(said), by) : verdictBox(false, 'Refused by this node', said.why ?? 'It proves nothing.', by);
  return { good: said.valid, box, steps: null };
}

/** The verdict on a receipt's text or bytes: `{ good, box, steps }`, elements; `steps` is null if the node checked. */
export async function check(given, signal) {
  try {
    const because = await unable();
    return because === null ? await here(given, signal) : await there(given, signal, because);
  } catch (problem) {
    if (problem.name === 'AbortError') throw problem;
    return { good: false, box: verdictBox(false, problem.title ?? 'Not checked', problem.message), steps: null };
  }
}
