// A wallet's request: its bytes, its work, its id. The rules are WAL-5 to WAL-7 and WAL-4 of the wallet specification; the
// encoding is that of receipts, R-3 to R-13. Golden vectors hold this file to what the nodes take.
//
//   version=1 u8 | wallet [32] | state [32] | number | epoch | operation | price | from ms u64 | until ms u64 | nonce u64 | signature [64]

import { concat, u64, utf8, varint } from '../bytes.js';
import { sha256 } from '../sha256.js';

const VERSION = 1;
/** Bytes of the argument that a service is told, at most. */
export const ARGUMENT_BYTES_MAX = 256;
/** How long after it is signed a request may be voted for, in milliseconds. */
export const WINDOW_MS = 60_000n;
/** Hashes between two looks at whether somebody wants to stop. */
const SLICE = 20_000;
/** The greatest work that is tried here, in zero nibbles; a browser needs minutes for more. */
export const DIFFICULTY_MAX = 6;

/** What the price is for: { kind: 'transfer', to } | { kind: 'buy', service, argument } | { kind: 'redeem' }, bytes each. */
function operation(what) {
  switch (what.kind) {
    case 'transfer': return concat([0], what.to);
    case 'buy':
      if (what.argument.length > ARGUMENT_BYTES_MAX) throw new RangeError(`The argument has ${what.argument.length} bytes, allowed are ${ARGUMENT_BYTES_MAX}.`);
      return concat([1], what.service, varint(what.argument.length), what.argument);
    case 'redeem': return Uint8Array.of(2);
    default: throw new RangeError('There is no such operation.');
  }
}

/** Everything before the nonce. */
export function beforeNonce({ wallet, state, number, epoch, what, price, from, until }) {
  return concat([VERSION], wallet, state, varint(number), varint(epoch), operation(what), varint(price), u64(from), u64(until));
}

/** How many nibbles at the beginning of a hash are zero. */
export function zeros(hash) {
  const first = hash.findIndex((byte) => byte !== 0);
  return first < 0 ? hash.length * 2 : first * 2 + (hash[first] < 16 ? 1 : 0);
}

/** A nonce with so much work (WAL-7). Lets the page live meanwhile. */
export async function work(prefix, difficulty, signal = undefined) {
  if (difficulty > DIFFICULTY_MAX) {
    throw new RangeError(`This network asks for work of ${difficulty} nibbles, too much for a browser: use “wattle wallet” and “wattle service”.`);
  }
  const hashed = sha256(prefix);
  const tried = new Uint8Array(8);
  const view = new DataView(tried.buffer);
  for (let nonce = 0; ; nonce += 1) {
    view.setBigUint64(0, BigInt(nonce));
    if (zeros(sha256(hashed, tried)) >= difficulty) return BigInt(nonce);
    if (nonce % SLICE === SLICE - 1) {
      await new Promise((resolve) => { setTimeout(resolve, 0); });
      signal?.throwIfAborted();
    }
  }
}

/** What is signed for a request's content in a network (WAL-6, R-13). */
export function signed(network, content) {
  const namespace = concat(utf8('wattle/request/v1/'), network);
  return concat(varint(namespace.length), namespace, content);
}

/** The request's id (WAL-6). */
export const requestId = (content) => sha256(utf8('wattle/request/v1'), content);

/** The purse's State once the request is executed (WAL-4). */
export const nextState = (state, id) => sha256(utf8('wattle/purse/v1'), state, id);

/** The State of a purse that nothing was spent from. */
export const firstState = (network, wallet) => sha256(utf8('wattle/purse/v1'), network, wallet);

/** A whole request. `sign(bytes)` gives the wallet's signature. */
export async function request(draft, { network, difficulty, sign, signal }) {
  if (BigInt(draft.price) < 1n) throw new RangeError('The price must be at least 0.000001 DCoin.');
  const prefix = beforeNonce(draft);
  const content = concat(prefix, u64(await work(prefix, difficulty, signal)));
  const bytes = concat(content, await sign(signed(network, content)));
  return { bytes, id: requestId(content) };
}
