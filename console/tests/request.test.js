// The requests that the console signs are those that nodes take: held to the golden vectors of the wire formats.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { concat, hex, u64, unhex, varint } from '../../crates/node/assets/console/js/bytes.js';
import { coins, units } from '../../crates/node/assets/console/js/format.js';
import { sha256 } from '../../crates/node/assets/console/js/sha256.js';
import { fresh, fromFile, fromSeed } from '../../crates/node/assets/console/js/wallet/key.js';
import { beforeNonce, firstState, nextState, request, requestId, signed, work, zeros } from '../../crates/node/assets/console/js/wallet/request.js';

const vectors = JSON.parse(readFileSync(new URL('../../crates/protocol/tests/vectors/wallet-v1.json', import.meta.url)));
const network = unhex(vectors.network, 32);

/** Takes a request apart, as another program would. */
function parse(bytes) {
  let at = 1;
  const take = (n) => bytes.slice(at, (at += n));
  const number = () => {
    let [value, shift, byte] = [0n, 0n, 0];
    do {
      byte = bytes[at++];
      value |= BigInt(byte & 0x7f) << shift;
      shift += 7n;
    } while (byte & 0x80);
    return value;
  };
  const big = () => new DataView(take(8).buffer).getBigUint64(0);
  const [wallet, state, count, epoch] = [take(32), take(32), number(), number()];
  const kind = ['transfer', 'buy', 'redeem'][bytes[at++]];
  const what = { kind };
  if (kind === 'transfer') what.to = take(32);
  if (kind === 'buy') Object.assign(what, { service: take(32), argument: take(Number(number())) });
  const draft = { wallet, state, number: count, epoch, what, price: number(), from: big(), until: big() };
  return { draft, nonce: big(), signature: take(64) };
}

test('hashes are those of another implementation', () => {
  for (const length of [0, 1, 3, 55, 56, 63, 64, 65, 119, 120, 1_000]) {
    const bytes = new Uint8Array(randomBytes(length));
    assert.equal(hex(sha256(bytes)), createHash('sha256').update(bytes).digest('hex'), `${length} bytes`);
  }
});

test('requests have the bytes, ids, States and signatures of the vectors', async () => {
  assert.equal(vectors.requests.length, 3);
  for (const vector of vectors.requests) {
    const bytes = unhex(vector.bytes);
    const { draft, nonce, signature } = parse(bytes);
    const content = concat(beforeNonce(draft), u64(nonce));
    assert.equal(hex(concat(content, signature)), vector.bytes);
    const id = requestId(content);
    assert.equal(hex(id), vector.id);
    assert.equal(hex(nextState(draft.state, id)), vector.next_state);
    assert.equal(hex(firstState(network, draft.wallet)), vectors.first_state);
    const key = await crypto.subtle.importKey('raw', draft.wallet, 'Ed25519', false, ['verify']);
    assert.ok(await crypto.subtle.verify('Ed25519', key, signature, signed(network, content)));
    assert.ok(!(await crypto.subtle.verify('Ed25519', key, signature, signed(new Uint8Array(32), content))), 'another network');
  }
});

test('what is signed here can be taken apart, has its work and its signature', async () => {
  const key = await fromSeed(new Uint8Array(32).fill(7));
  const state = firstState(network, key.bytes);
  const what = { kind: 'buy', service: new Uint8Array(32).fill(9), argument: new TextEncoder().encode('double') };
  const draft = { wallet: key.bytes, state, number: 300, epoch: 2, what, price: 2_000_000n, from: 5n, until: 65_005n };
  const made = await request(draft, { network, difficulty: 2, sign: key.sign });
  const { draft: again, nonce, signature } = parse(made.bytes);
  assert.deepEqual({ ...again, number: 300, epoch: 2 }, { ...draft });
  const content = concat(beforeNonce(draft), u64(nonce));
  assert.ok(zeros(sha256(sha256(beforeNonce(draft)), u64(nonce))) >= 2);
  const open = await crypto.subtle.importKey('raw', key.bytes, 'Ed25519', false, ['verify']);
  assert.ok(await crypto.subtle.verify('Ed25519', open, signature, signed(network, content)));
});

test('what nobody would take is not signed', async () => {
  const key = await fromSeed(new Uint8Array(32).fill(7));
  const draft = { wallet: key.bytes, state: new Uint8Array(32), number: 0, epoch: 0, what: { kind: 'redeem' }, price: 0n, from: 0n, until: 1n };
  await assert.rejects(request(draft, { network, difficulty: 0, sign: key.sign }), RangeError);
  const long = { kind: 'buy', service: new Uint8Array(32), argument: new Uint8Array(257) };
  await assert.rejects(request({ ...draft, price: 1n, what: long }, { network, difficulty: 0, sign: key.sign }), RangeError);
  await assert.rejects(work(new Uint8Array(1), 9), RangeError);
  assert.throws(() => varint(-1), RangeError);
  for (const bad of ['', 'AB'.repeat(32), 'ab', 'zz'.repeat(32)]) assert.throws(() => unhex(bad, 32), RangeError, bad);
});

test('a key file gives its key, an encrypted one says what to do', async () => {
  const key = await fromFile(`${'07'.repeat(32)}\n`);
  assert.equal(key.id, 'ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c');
  await assert.rejects(fromFile('{"format":"wattle-key-v1"}'), /encrypted/);
  await assert.rejects(fromFile('hello'), /64/);
  const made = await fresh();
  assert.equal((await fromFile(made.file)).id, made.key.id);
});

test('numbers and amounts', () => {
  assert.deepEqual([...varint(0)], [0]);
  assert.deepEqual([...varint(300)], [0xac, 0x02]);
  assert.equal(units('2.5'), 2_500_000n);
  assert.equal(units('0.000001'), 1n);
  for (const bad of ['', '2.', '.5', '-1', '1e3', '0.0000001', '2,5']) assert.equal(units(bad), null, bad);
  assert.equal(coins(2_500_000), '2.5 DCoin');
  assert.equal(coins('18446744073709551615'), '18,446,744,073,709.551615 DCoin');
});
