// Spending: ask where the purse stands, sign here, hand in, wait until a milestone has executed it.
//
//   GET epoch, parameters, wallet ─▶ sign ─▶ POST spends ─▶ certified ─▶ final

import { get, post } from '../api.js';
import { hex, unhex } from '../bytes.js';
import { WINDOW_MS, request } from './request.js';

const POLL_MS = 100;
const WAIT_MS = 60_000;
const ENDED = new Set(['final', 'refused', 'locked', 'lapsed']);

/** The wallet that was opened in this page, if any. */
let opened = null;
export const wallet = () => opened;
export function use(key) { opened = key; }

/** The request of an opened wallet. `told(words, fraction)` hears how far it is. Gives the spend as the API has it at the end. */
export async function spend(key, what, price, told, signal) {
  told('Asking where the purse stands', 0.05);
  const [epoch, parameters, holder] = await Promise.all([get('/epoch', {}, signal), get('/parameters', {}, signal), get(`/wallets/${key.id}`, {}, signal)]);
  const { purse } = holder;
  if (BigInt(purse.available) < BigInt(price)) throw new RangeError('The purse does not hold so much. “wattle wallet fund” moves DCoin from the account into it.');
  told('Signing in this browser', 0.15);
  const from = BigInt(Date.now());
  const draft = { wallet: key.bytes, state: unhex(purse.next_state, 32), number: purse.next_number, epoch: purse.epoch, what, price, from, until: from + WINDOW_MS };
  const made = await request(draft, { network: unhex(epoch.network, 32), difficulty: parameters.difficulty, sign: key.sign, signal });
  told('Handing it to the node', 0.3);
  const { spends } = await post('/spends', { requests: [hex(made.bytes)] }, signal);
  let [now] = spends;
  const end = Date.now() + WAIT_MS;
  while (!ENDED.has(now.status) && Date.now() < end) {
    told(now.status === 'certified' ? `Certified by ${now.votes} validators; a milestone executes it` : `${now.votes ?? 0} of ${now.needed ?? '?'} votes`,
      now.status === 'certified' ? 0.8 : 0.3 + 0.4 * ((now.votes ?? 0) / (now.needed || 1)));
    await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
    signal.throwIfAborted();
    now = await get(`/spends/${now.id}`, {}, signal);
  }
  return now;
}

/** How it ended, in words. */
export function outcome(now) {
  const why = [now.reason?.text, ...(now.rejections ?? []).map((r) => r.text)].filter(Boolean);
  const because = why.length ? ` ${[...new Set(why)].join('; ')}.` : '';
  switch (now.status) {
    case 'final': return { good: true, text: `Final in milestone ${now.height}, with ${now.votes} votes.` };
    case 'refused': return { good: false, text: `Refused: nothing was spent.${because}` };
    case 'locked': return { good: false, text: 'Locked: another request of this wallet has the same number. It can spend again in the next epoch.' };
    case 'lapsed': return { good: false, text: 'Its epoch ended before it was executed: nothing was spent. Try again.' };
    default: return { good: false, text: `Still ${now.status}. It may yet be executed: look at the list before you try again.` };
  }
}
