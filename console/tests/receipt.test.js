// The console's verifier of receipts: held to the golden vectors, and to receipts with one thing wrong for each rule.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { compare, concat, hex, u64, unhex, utf8, varint } from '../../crates/node/assets/console/js/bytes.js';
import { flipped } from '../../crates/node/assets/console/js/pages/reading.js';
import { isSound, unable, verify, zip215 } from '../../crates/node/assets/console/js/proof/ed25519.js';
import { readGenesis } from '../../crates/node/assets/console/js/proof/genesis.js';
import { leads, leaf, root } from '../../crates/node/assets/console/js/proof/merkle.js';
import { Reader, Refused } from '../../crates/node/assets/console/js/proof/reader.js';
import { readReceipt, verifyReceipt } from '../../crates/node/assets/console/js/proof/receipt.js';
import * as records from '../../crates/node/assets/console/js/proof/records.js';
import { fromSeed } from '../../crates/node/assets/console/js/wallet/key.js';

const vectorsOf = (name) => JSON.parse(readFileSync(new URL(`../../crates/protocol/tests/vectors/${name}`, import.meta.url)));
const wire = vectorsOf('wire-v2.json');
const genesis = readGenesis(wire.genesis.json);
const RECEIPTS = ['receipt', 'anchored_receipt', 'handed_over_receipt', 'signed_receipt'];
const HASH_BYTES = 32;

const json = (name) => JSON.parse(wire[name]);
const base64 = (bytes) => Buffer.from(bytes).toString('base64url');
const bytesOf = (text) => new Uint8Array(Buffer.from(text, 'base64url'));
const hashed = (bytes) => new Uint8Array(createHash('sha256').update(bytes).digest());

/** The verdict on a receipt as an object. */
const judge = (receipt, under = genesis) => verifyReceipt(typeof receipt === 'string' ? receipt : JSON.stringify(receipt), under);

/** Asserts that a receipt is refused at a step, for a reason. */
async function refused(receipt, step, why, under = genesis) {
  const verdict = await judge(receipt, under);
  const bad = verdict.steps.find(({ ok }) => ok === false);
  assert.ok(!verdict.valid && verdict.proves === null, why.source);
  assert.deepEqual([bad.name, why.test(verdict.why)], [step, true], `${why}: ${bad.name}, ${verdict.why}`);
  // all before it hold, nothing behind it was looked at
  const at = verdict.steps.indexOf(bad);
  assert.ok(verdict.steps.every(({ ok }, i) => ok === (i < at ? true : i === at ? false : null)));
}

/** A changed copy. */
function changed(name, change) {
  const receipt = json(name);
  change(receipt);
  return receipt;
}

// ---------------------------------------------------------------- the sample network's keys, as crates/protocol/tests/sample has them

const key = (seed) => fromSeed(new Uint8Array(32).fill(seed));
const keysOf = async (count) => (await Promise.all(Array.from({ length: count }, (_, i) => key(i + 1)))).sort((a, b) => compare(a.bytes, b.bytes));
const [committee, nextCommittee, issuer] = [await keysOf(4), await keysOf(5), await key(11)];

const namespaced = (namespace, message) => concat(varint(namespace.length), namespace, message);
const finalizing = concat(utf8('wattle/milestone/v1/'), genesis.network, utf8('_FINALIZE'));

/** A finalization of these members. */
async function finalization(digest, signers, { keys = committee, epoch = 0, namespace = finalizing, view = 300 } = {}) {
  const proposal = concat(varint(epoch), varint(view), varint(view - 1), digest);
  const votes = await Promise.all(signers.map(async (i) => concat([i], await keys[i].sign(namespaced(namespace, proposal)))));
  return base64(concat(proposal, varint(votes.length), ...votes));
}

/** Where the parts of the sample's milestones are: all their numbers take one byte. */
const HEIGHT = 35;
const EPOCH = 36;
const TIPS = 45;

function edited(text, edit) {
  const bytes = bytesOf(text);
  return edit(bytes) ?? bytes;
}

/** The plain receipt with another milestone, certified by the committee. */
async function recertified(edit, signers = [0, 1, 3]) {
  const receipt = json('receipt');
  const milestone = edited(receipt.milestone, edit);
  return { ...receipt, milestone: base64(milestone), finalization: await finalization(hashed(milestone), signers) };
}

/** The plain receipt with another message, confirmed and certified. */
async function withMessage(edit, signing = issuer) {
  const unsigned = edited(json('receipt').message, edit).slice(0, -64);
  const { signed } = records.message(new Reader(concat(unsigned, new Uint8Array(64))));
  const namespace = concat(utf8('wattle/message/v2/'), genesis.network);
  const message = concat(unsigned, await signing.sign(namespaced(namespace, concat(...signed))));
  const ids = [hashed(utf8('first')), hashed(message), hashed(utf8('third'))];
  const receipt = await recertified((bytes) => bytes.set(root(ids.map((id) => leaf(id))), TIPS + 1 + bytes[TIPS] * HASH_BYTES + 1));
  return { ...receipt, message: base64(message) };
}

// ---------------------------------------------------------------- what holds

test('the receipts of the golden vectors hold, step by step', async () => {
  assert.equal(genesis.id, wire.genesis.network);
  const steps = { receipt: 7, anchored_receipt: 8, handed_over_receipt: 8, signed_receipt: 8 };
  for (const name of RECEIPTS) {
    const verdict = await judge(wire[name]);
    assert.deepEqual([verdict.valid, verdict.why], [true, null], name);
    assert.ok(verdict.steps.every(({ ok, said, rules }) => ok === true && said && /^R-\d/.test(rules)), name);
    assert.equal(verdict.steps.length, steps[name], name);
    assert.deepEqual(await verifyReceipt(utf8(wire[name]), genesis), verdict, 'its bytes');
  }
});

test('what a receipt proves is what the vectors say', async () => {
  const { proves } = await judge(wire.receipt);
  const [reading, message] = [wire.readings[1], wire.messages[0]];
  assert.deepEqual([proves.reading, proves.message, proves.issuer], [reading.id, message.id, issuer.id]);
  assert.equal(`${proves.site}/${proves.device}/${proves.direction}/${proves.data_type}@${proves.time_us}`, reading.name);
  assert.deepEqual([proves.value, proves.unit, proves.sequence, proves.device_key], [-3.25, 'W', 41n, null]);
  assert.deepEqual([proves.height, proves.certified_height, proves.epoch, proves.committee], [1n, 1n, 0n, 4]);
  assert.deepEqual(proves.signers, ['nord', 'ost', 'west']);
  const later = (await judge(wire.handed_over_receipt)).proves;
  const newcomer = nextCommittee.find(({ id }) => committee.every((member) => member.id !== id));
  assert.ok(later.signers.includes(newcomer.id.slice(0, 16)));
  assert.deepEqual([later.height, later.certified_height, later.epoch, later.committee], [1n, 4n, 1n, 5]);
  assert.equal((await judge(wire.signed_receipt)).proves.device_key, wire.device.key);
});

test('what travels has the ids and digests of the vectors', () => {
  const whole = (decode, bytes) => {
    const reader = new Reader(unhex(bytes));
    const found = decode(reader);
    reader.end();
    return found;
  };
  for (const { bytes, id } of [...wire.readings, ...wire.signed_readings]) {
    assert.equal(hex(hashed(concat(utf8('wattle/reading/v1'), whole(records.reading, bytes).bytes))), id);
  }
  let anchoring = 0;
  for (const { bytes, id, head } of wire.messages) {
    // what messages say that can anchor nothing is not taken apart
    try {
      const found = whole(records.message, bytes);
      assert.deepEqual([hex(found.id), hex(concat(...found.signed, found.signature))], [id, head]);
      anchoring += 1;
    } catch (why) {
      assert.match(why.message, /anchors no readings/);
    }
  }
  assert.ok(anchoring >= 2);
  for (const { bytes, digest } of wire.milestones) assert.equal(hex(whole(records.milestone, bytes).digest), digest);
  assert.equal(hex(whole(records.finalization, wire.finalization.bytes).proposal), wire.finalization.proposal);
});

test('trees agree with the vectors of RFC 6962', () => {
  const cases = Object.entries(vectorsOf('merkle-rfc6962.json')).filter(([path]) => path.startsWith('inclusion/'));
  assert.equal(cases.length, 98);
  const bytes = (text) => new Uint8Array(Buffer.from(text ?? '', 'base64'));
  for (const [path, { leafIdx, treeSize, root: root_, leafHash, proof, wantErr }] of cases) {
    const hashes = [leafHash, root_, ...(proof ?? [])].map(bytes);
    // what is no hash does not get as far as the tree: it is refused with the file
    if (hashes.some(({ length }) => length !== HASH_BYTES)) assert.ok(wantErr, path);
    else assert.equal(leads(hashes[0], BigInt(leafIdx), BigInt(treeSize), hashes.slice(2), hashes[1]), !wantErr, path);
  }
});

// ---------------------------------------------------------------- what does not

test('every flipped bit of the file is noticed', async () => {
  for (const name of RECEIPTS) {
    const bytes = utf8(JSON.stringify(json(name)));
    for (let at = 0; at < bytes.length; at += 1) {
      const damaged = bytes.slice();
      damaged[at] ^= 1 << at % 8;
      assert.equal((await verifyReceipt(damaged, genesis)).valid, false, `${name}, byte ${at}`);
    }
  }
});

test('what is tried in the console is refused at the batch', async () => {
  await refused(flipped(wire.receipt), 'batch', /not in the batch/);
});

test('a file that is not exactly a receipt is refused', async () => {
  const [text, receipt] = [JSON.stringify(json('anchored_receipt')), json('anchored_receipt')];
  const no = (given) => refused(given, 'file', /./);
  assert.ok((await judge(`\r\n\t ${wire.anchored_receipt}\n`)).valid, 'white space is free');
  for (const bad of ['', '{}', '[]', 'null', '1', `\ufeff${text}`, `${text}x`, text + text, text.slice(0, -1), text.replace('}', ',}'), `[${text}]`, '['.repeat(100_000)]) await no(bad);
  for (const field of Object.keys(receipt)) {
    const { [field]: _, ...without } = receipt;
    await no(without);
    for (const other of [{}, true, 1.5, -1, field === 'anchor' ? 7 : null, [[]], [{}]]) await no({ ...receipt, [field]: other });
    await no(text.replace('{', `{"${field}":${JSON.stringify(receipt[field])},`));
  }
  await no(text.replace('{', '{"\\u0066ormat":"wattle-receipt-v2",'));
  await no({ ...receipt, comment: '' });
  await no({ ...receipt, format: 'wattle-receipt-v1' });
  await no(JSON.stringify(Object.values(receipt)));
  for (const number of ['-0', '01', '1.0', '1e0', '+1', '"1"', '4294967296', '99999999999999999999999']) await no(text.replace('"leaf_index":1', `"leaf_index":${number}`));
  await no(text.replace('"message_index":1', '"message_index":18446744073709551616'));
  await no(text.replace('"message_index":1', '"message_index":1 1'));
  await no(text.replace('wattle', '\\ud800'));
  assert.ok((await judge(text.replace('wattle', '\\u0077attle'))).valid, 'an escape is the same text');
  assert.equal((await verifyReceipt(new Uint8Array([0xff, ...utf8(text)]), genesis)).valid, false, 'no UTF-8');
});

test('base64url has one form', async () => {
  const { salt } = json('receipt');
  const last = { A: 'B', Q: 'R', g: 'h', w: 'x' };
  for (const bad of [`${salt}=`, `${salt}A`, salt.slice(0, -1), `${salt.slice(0, -1)}+`, `${salt.slice(0, -1)} `, '', `${salt.slice(0, -1)}${last[salt.at(-1)] ?? 'B'}`]) {
    await refused(changed('receipt', (r) => { r.salt = bad; }), 'file', /salt/);
  }
  for (const field of ['reading', 'message', 'milestone', 'finalization']) {
    const bytes = bytesOf(json('receipt')[field]);
    await refused(changed('receipt', (r) => { r[field] = base64([...bytes, 0]); }), 'file', /follow its end/);
    await refused(changed('receipt', (r) => { r[field] = base64(bytes.slice(0, -1)); }), 'file', /end inside/);
    await refused(changed('receipt', (r) => { r[field] = ''; }), 'file', /end inside/);
  }
  const path = Array.from({ length: 65 }, () => base64(new Uint8Array(HASH_BYTES)));
  await refused(changed('receipt', (r) => { r.batch_path = path; }), 'file', /the limit is 64/);
  await refused(changed('handed_over_receipt', (r) => { r.handovers = Array(4097).fill(r.handovers[0]); }), 'file', /the limit is 4096/);
});

test('varints have one form', () => {
  const read = (...bytes) => new Reader(Uint8Array.from(bytes)).varint('it');
  assert.equal(read(0), 0n);
  assert.equal(read(0xac, 2), 300n);
  assert.equal(read(...varint(2n ** 64n - 1n)), 2n ** 64n - 1n);
  for (const bad of [[], [0x80], [0x80, 0], [0xff, 0], [...Array(9).fill(0xff), 2], [...Array(10).fill(0xff), 1], [...Array(10).fill(0x80), 1]]) assert.throws(() => read(...bad), Refused, `${bad}`);
});

test('readings have one form', () => {
  const text = (s) => { const bytes = utf8(s); return concat(varint(bytes.length), bytes); };
  const decode = ({ version = 1, site = 's', device = 'd', direction = 0, type = 't', sequence = [0], unit = [0], value = [1, 1], more = [] }) => {
    const bytes = concat([version], text(site), text(device), [direction], text(type), u64(7), sequence, unit, value, more);
    const reader = new Reader(bytes);
    const found = records.reading(reader);
    reader.end();
    return found;
  };
  const f64 = (n) => { const out = new Uint8Array(9); new DataView(out.buffer).setFloat64(1, n); return out; };
  assert.equal(decode({ value: f64(0) }).value, 0);
  assert.equal(decode({ site: 'a/b/c/d' }).site, 'a/b/c/d');
  assert.equal(decode({ device: '\ufeffd' }).device, '\ufeffd', 'nothing is passed over');
  assert.equal(decode({ site: '€'.repeat(21) }).site.length, 21);
  const bad = [
    { version: 0 }, { version: 3 }, { version: 2 }, { direction: 2 }, { site: '' }, { site: 'a/b/c/d/e' }, { site: 'a//b' }, { site: 'a/sense' }, { site: 'act/a' }, { site: '/a' },
    { site: '€'.repeat(22) }, { site: `${'a'.repeat(32)}/${'b'.repeat(32)}` }, { device: '$d' }, { device: 'a/b' }, { device: 'a+' }, { device: '#' }, { device: '@' }, { device: '\u0085' }, { device: '\u007f' }, { type: 'a\u0000' },
    { unit: concat([1], text('\n')) }, { unit: concat([1], text('u'.repeat(17))) }, { unit: [2] }, { sequence: [2] },
    { value: f64(-0) }, { value: f64(NaN) }, { value: f64(Infinity) }, { value: [1, 2] }, { value: [4] }, { value: [2, 2, 0xc0, 0x80] }, { value: [2, 3, 0xed, 0xa0, 0x80] }, { value: concat([3], varint(16_385), new Uint8Array(16_385)) }, { more: [0] },
    { version: 2, sequence: [0], more: new Uint8Array(96) }, { version: 2, sequence: [1, 5], more: new Uint8Array(95) },
  ];
  for (const one of bad) assert.throws(() => decode(one), Refused, JSON.stringify(one));
  assert.ok(decode({ version: 2, sequence: [1, 5], more: new Uint8Array(96) }).signed);
});

test('messages, milestones and certificates have one form', async () => {
  const no = async (field, edit, why) => refused(changed('receipt', (r) => { r[field] = base64(edited(r[field], edit)); }), 'file', why);
  await no('message', (b) => { b[0] = 4; }, /version of the message/);
  await no('message', (b) => { b[0] = 2; }, /votes/);
  // parents: the second and third are ascending, the first is none of them; where they begin, in the sample
  const parents = 1 + 8 + 2 + 32 + 1;
  await no('message', (b) => { b[parents] = 9; }, /the limit is 8/);
  await no('message', (b) => concat(b.slice(0, parents), [0], b.slice(parents + 1 + 96)), /no parent/);
  await no('message', (b) => b.copyWithin(parents + 1, parents + 33, parents + 65), /parents/);
  await no('message', (b) => b.copyWithin(parents + 65, parents + 33, parents + 65), /parents/);
  const votes = parents + 1 + 96 + 8;
  await no('message', (b) => { b[votes + 1] = 3; }, /votes/);
  const body = votes + 1 + 64;
  for (const tag of [2, 3, 4, 5, 6]) await no('message', (b) => { b[body] = tag; }, /anchors no readings/);
  await no('message', (b) => { b[body] = 7; }, /kind of a body/);
  await no('message', (b) => { b[body + 33] = 0; }, /count of a batch/);
  const span = body + 34 + (bytesOf(json('receipt').message)[body + 34] > 0x7f ? 2 : 1);
  await no('message', (b) => { b[span] = 0xff; }, /ends before it begins/);
  await no('milestone', (b) => { b[0] = 2; }, /version of the milestone/);
  const counted = (b) => TIPS + 1 + b[TIPS] * HASH_BYTES;
  await no('milestone', (b) => concat(b.slice(0, counted(b)), varint(16_385), b.slice(counted(b) + 1)), /the limit is 16384/);
  await no('milestone', (b) => { b[TIPS + 1] = 0xff; }, /tips/);
  await no('milestone', (b) => { b[b.length - 1] = 2; }, /marker/);
  await no('milestone', (b) => concat(b.slice(0, -1), [1, 0]), /next committee/);
  const members = concat([1, 2], new Uint8Array(64));
  await no('milestone', (b) => concat(b.slice(0, -1), members), /next committee/);
  const { length } = bytesOf(json('receipt').finalization);
  await no('finalization', (b) => { b[length - 65] = 1; }, /votes of a finalization/);
  await no('finalization', (b) => { b[length - 3 * 65 - 1] = 4; }, /end inside/);
});

test('the message is its issuer’s, of this network and subnet, and anchors readings (R-32, R-33)', async () => {
  await refused(await withMessage((b) => { b[1] ^= 1; }), 'message', /another network/);
  await refused(await withMessage((b) => { b[10] = 9; }), 'message', /another subnet/);
  await refused(await withMessage(() => undefined, await key(99)), 'message', /not its issuer/);
  assert.ok((await judge(await withMessage(() => undefined))).valid, 'the same message, signed again');
  const data = base64(unhex(wire.messages[1].bytes));
  await refused(changed('receipt', (r) => { r.message = data; }), 'batch', /anchors no readings/);
});

test('the reading is at its place in the batch (R-34)', async () => {
  const changes = [
    (r) => { r.salt = `${r.salt[0] === 'A' ? 'B' : 'A'}${r.salt.slice(1)}`; },
    (r) => { r.leaf_index = 0; },
    (r) => { r.leaf_index = 5; },
    (r) => { r.leaf_index = 4294967295; },
    (r) => { r.batch_path.pop(); },
    (r) => { r.batch_path.push(r.batch_path[0]); },
    (r) => { r.batch_path.reverse(); },
    (r) => { r.reading = json('signed_receipt').reading; },
    (r) => { r.reading = base64(unhex(wire.readings[0].bytes)); },
  ];
  for (const change of changes) await refused(changed('receipt', change), 'batch', /not in the batch/);
});

test('what a device signed is checked (R-45)', async () => {
  // the message commits to the reading with its signature, so the sample's root must follow the damage
  const receipt = json('signed_receipt');
  const reading = bytesOf(receipt.reading);
  for (const at of [reading.length - 1, reading.length - 96]) {
    const damaged = reading.slice();
    damaged[at] ^= 1;
    const batch = concat(leaf(bytesOf(receipt.salt), damaged));
    const message = bytesOf(receipt.message);
    const { body } = records.message(new Reader(message));
    const start = Buffer.from(message).indexOf(Buffer.from(body.root));
    const made = await withMessage(() => {
      const copy = message.slice();
      copy.set(batch, start);
      copy[start + HASH_BYTES] = 1; // a batch of one
      return copy;
    });
    await refused({ ...made, reading: base64(damaged), salt: receipt.salt, leaf_index: 0, batch_path: [] }, 'device', /device’s signature/);
  }
});

test('the milestone confirms the message, in this subnet (R-35, R-36)', async () => {
  const changes = [(r) => { r.message_index = 0; }, (r) => { r.message_index = 3; }, (r) => { r.message_path = []; }, (r) => { r.message_path.reverse(); }];
  for (const change of changes) await refused(changed('receipt', change), 'milestone', /not among those/);
  await refused(await recertified((b) => { b[TIPS + 1 + b[TIPS] * HASH_BYTES] = 0; }), 'milestone', /not among those/);
  await refused(await recertified((b) => { b[2] = 8; }), 'milestone', /another subnet/);
});

test('the certified milestone has it in its history (R-37)', async () => {
  const anchor = async (edit, more = () => {}) => {
    const receipt = json('anchored_receipt');
    const milestone = edited(receipt.anchor.milestone, edit);
    receipt.anchor.milestone = base64(milestone);
    receipt.finalization = await finalization(hashed(milestone), [0, 1, 2]);
    more(receipt);
    return receipt;
  };
  assert.ok((await judge(await anchor(() => undefined))).valid);
  await refused(await anchor((b) => { b[2] = 8; }), 'history', /another subnet/);
  await refused(await anchor((b) => { b[HEIGHT] = 1; }), 'history', /history/);
  await refused(await anchor((b) => { b[b.length - 2] ^= 1; }), 'history', /history/);
  await refused(await anchor(() => undefined, (r) => { r.anchor.history_path = []; }), 'history', /history/);
  await refused(await anchor(() => undefined, (r) => { const b = bytesOf(r.milestone); b[40] ^= 1; r.milestone = base64(b); }), 'history', /history/);
});

test('the certificate is on that milestone, epochs and heights fit (R-38, R-39)', async () => {
  await refused(changed('receipt', (r) => { r.finalization = json('anchored_receipt').finalization; }), 'certificate', /another milestone/);
  await refused(changed('anchored_receipt', (r) => { r.anchor = null; }), 'certificate', /another milestone/);
  await refused(await recertified((b) => { b[EPOCH] = 3; }), 'certificate', /height 1 is not of epoch 3/);
  const digest = hashed(bytesOf(json('receipt').milestone));
  const other = await finalization(digest, [0, 1, 2], { epoch: 2 });
  await refused(changed('receipt', (r) => { r.finalization = other; }), 'certificate', /another epoch/);
  await refused(changed('handed_over_receipt', (r) => { r.handovers = []; }), 'certificate', /lead to epoch 0/);
  await refused(changed('handed_over_receipt', (r) => { r.handovers.push(r.handovers[0]); }), 'certificate', /lead to epoch 2/);
  await refused(changed('receipt', (r) => { r.handovers = json('handed_over_receipt').handovers; }), 'certificate', /lead to epoch 1/);
});

test('a handover that does not hold is refused (R-40)', async () => {
  const handover = async (edit, options = {}, signers = [0, 1, 2]) => {
    const receipt = json('handed_over_receipt');
    const milestone = edited(receipt.handovers[0].milestone, edit);
    receipt.handovers[0] = { milestone: base64(milestone), finalization: await finalization(hashed(milestone), signers, options) };
    return receipt;
  };
  assert.ok((await judge(await handover(() => undefined))).valid);
  await refused(await handover((b) => { b[EPOCH] = 1; }), 'committee', /another epoch/);
  await refused(await handover(() => undefined, { epoch: 1 }), 'committee', /another epoch/);
  for (const height of [2, 4]) await refused(await handover((b) => { b[HEIGHT] = height; }), 'committee', /does not close it/);
  await refused(await handover((b) => { b[2] = 8; }), 'committee', /another subnet/);
  const nextAt = (b) => b.length - 5 * HASH_BYTES - 2;
  await refused(await handover((b) => concat(b.slice(0, nextAt(b)), [0])), 'committee', /no next committee/);
  await refused(changed('handed_over_receipt', (r) => { const b = bytesOf(r.handovers[0].milestone); b[40] ^= 1; r.handovers[0].milestone = base64(b); }), 'committee', /another milestone/);
  await refused(await handover(() => undefined, {}, [0, 1]), 'committee', /2 validators signed, 3 are needed/);
  await refused(changed('handed_over_receipt', (r) => { const b = bytesOf(r.handovers[0].finalization); b[b.length - 30] ^= 1; r.handovers[0].finalization = base64(b); }), 'committee', /does not hold/);
  const neutral = concat([1], new Uint8Array(31));
  await refused(await handover((b) => concat(b.slice(0, nextAt(b)), [1, 1], neutral)), 'committee', /not sound/);
  // the first four of five: the fifth has no say then
  await refused(await handover((b) => concat(b.slice(0, nextAt(b)), [1, 4], b.slice(nextAt(b) + 2, -HASH_BYTES))), 'signatures', /validator 4 is not in the committee/);
});

test('a quorum of the right committee signed (R-41)', async () => {
  const digest = hashed(bytesOf(json('receipt').milestone));
  const by = async (signers, options) => { const made = await finalization(digest, signers, options); return changed('receipt', (r) => { r.finalization = made; }); };
  assert.ok((await judge(await by([0, 1, 2, 3]))).valid);
  for (const signers of [[], [3], [0, 1]]) await refused(await by(signers), 'signatures', /are needed/);
  const purpose = (end) => concat(utf8('wattle/milestone/v1/'), genesis.network, utf8(end));
  for (const end of ['', '_NOTARIZE']) await refused(await by([0, 1, 2], { namespace: purpose(end) }), 'signatures', /of nord does not hold/);
  const strangers = await Promise.all([90, 91, 92, 93].map(key));
  await refused(await by([0, 1, 2], { keys: strangers }), 'signatures', /of nord does not hold/);
  await refused(await by([0, 1, 2, 4], { keys: [...committee, strangers[0]] }), 'signatures', /validator 4 is not/);
  // one bad vote refuses the whole, also beside a quorum
  const beside = await by([0, 1, 2, 3]);
  const bytes = bytesOf(beside.finalization);
  bytes.fill(0, bytes.length - 64);
  await refused({ ...beside, finalization: base64(bytes) }, 'signatures', /of west does not hold/);
  // the view is signed as well
  const view = bytesOf(json('receipt').finalization);
  view[1] ^= 1;
  await refused(changed('receipt', (r) => { r.finalization = base64(view); }), 'signatures', /of nord does not hold/);
});

test('a changed or foreign genesis is refused', async () => {
  const text = wire.genesis.json;
  assert.equal(readGenesis(utf8(`\n${text} `)).id, genesis.id);
  const changes = [
    ['sample', 'simple'], ['"subnet": 7', '"subnet": 8'], ['1749999999000', '1749999999001'], ['nord', 'nort'], ['"stake": 2000', '"stake": 2001'], ['"balance": 5000', '"balance": 5001'],
    ['"epoch_milestones": 4', '"epoch_milestones": 5'], ['"committee_max": 16', '"committee_max": 15'], ['"stake_min": 1000', '"stake_min": 1001'], ['"unbonding_epochs": 2', '"unbonding_epochs": 3'],
    ['"slash_percent": 50', '"slash_percent": 51'], ['"share_per_second": 4000', '"share_per_second": 4001'], ['"pow_difficulty": 0', '"pow_difficulty": 1'],
  ];
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), from);
    assert.throws(() => readGenesis(text.replace(from, to)), /does not fit/, from);
  }
  const ranges = [['"epoch_milestones": 4', '"epoch_milestones": 1'], ['"committee_max": 16', '"committee_max": 129'], ['"slash_percent": 50', '"slash_percent": 101'], ['"stake": 2000', '"stake": 18446744073709551615'], ['"subnet": 7', '"subnet": 65536']];
  for (const [from, to] of ranges) assert.throws(() => readGenesis(text.replace(from, to)), /is not between/, to);
  for (const bad of ['', '{}', '[]', text.slice(1), text.replace('genesis-v2', 'genesis-v1'), text.replace('"subnet": 7', '"subnet": 7, "subnet": 7'), text.replace('nord', '$nord'), text.replace('"network": "f', '"network": "F')]) assert.throws(() => readGenesis(bad), Refused, bad.slice(0, 40));
  const value = JSON.parse(text);
  assert.throws(() => readGenesis(JSON.stringify({ ...value, committee: [...value.committee].reverse() })), /ascending/);
  assert.throws(() => readGenesis(JSON.stringify({ ...value, committee: [] })), /0 validators/);
  assert.throws(() => readGenesis(JSON.stringify({ ...value, wallets: [...value.wallets].reverse() })), /ascending/);
  assert.throws(() => readGenesis(JSON.stringify({ ...value, committee: [{ ...value.committee[0], key: `01${'00'.repeat(31)}` }] })), /not sound/);
  assert.throws(() => readGenesis(JSON.stringify({ ...value, wallets: [{ ...value.wallets[0], key: 'A'.repeat(64) }] })), Refused);
  assert.throws(() => readGenesis(JSON.stringify({ ...value, name: '\ud800' })), /not Unicode/);
  const many = Array.from({ length: 4097 }, (_, i) => ({ key: i.toString(16).padStart(64, '0'), balance: 0 }));
  assert.throws(() => readGenesis(JSON.stringify({ ...value, wallets: many })), /the limit is 4096/);
  await refused(wire.receipt, 'message', /another network/, { ...genesis, network: new Uint8Array(32) });
  const near = genesis.network.slice();
  near[31] ^= 1;
  await refused(wire.receipt, 'message', /not its issuer/, { ...genesis, network: near });
});

test('a genesis says what differs from the defaults of wallets', () => {
  const defaults = { threshold_percent: 67, difficulty: 1, shares_per_coin: 5, vote_reward: 2, share_cap: 10_000, reward_cap: 1_000 };
  const value = JSON.parse(wire.genesis.json);
  const stated = (parameters, network = value.network) => readGenesis(JSON.stringify({ ...value, network, wallet_parameters: { ...defaults, ...parameters } }));
  assert.equal(stated({}).id, genesis.id, 'the defaults, stated');
  const wallets = vectorsOf('wallet-v1.json');
  assert.equal(stated({ threshold_percent: 80, share_cap: 300 }, wallets.network_with_parameters).id, wallets.network_with_parameters);
  assert.throws(() => stated({ difficulty: 2 }), /does not fit/);
  for (const bad of [{ threshold_percent: 66 }, { difficulty: 17 }, { shares_per_coin: 0 }, { vote_reward: 1_000_000_001 }]) assert.throws(() => stated(bad), /is not between/);
  assert.throws(() => stated({ more: 1 }), /exactly the fields/);
  assert.throws(() => readGenesis(JSON.stringify({ ...value, wallet_parameters: null })), Refused);
});

// ---------------------------------------------------------------- signatures

const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const littleEndian = (value) => Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
const number = (bytes) => bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
// RFC 8032 §7.1, tests 1 to 3: public key, message, signature
const RFC_8032 = [
  ['d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', '', 'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b'],
  ['3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c', '72', '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00'],
  ['fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025', 'af82', '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a'],
];
/** The 14 encodings of points of small order that ZIP-215 admits. */
const SMALL = (() => {
  const p = 2n ** 255n - 19n;
  const eighth = number(unhex('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'));
  const ys = [0n, 1n, p - 1n, p, p + 1n, eighth, p - eighth];
  return ys.flatMap((y) => [littleEndian(y), littleEndian(y | (1n << 255n))]);
})();

test('the slow check agrees with RFC 8032, and notices every bit', async () => {
  for (const [public_, message, expected] of RFC_8032) {
    const [key_, data, signature] = [unhex(public_), unhex(message), unhex(expected)];
    assert.ok(await zip215(key_, data, signature));
    assert.ok(isSound(key_));
    for (let bit = 0; bit < 512; bit += 5) {
      const wrong = signature.slice();
      wrong[bit >> 3] ^= 1 << (bit & 7);
      assert.equal(await zip215(key_, data, wrong), false, `bit ${bit}`);
    }
    const over = concat(signature.slice(0, 32), littleEndian(number(signature.slice(32)) + L));
    assert.equal(await zip215(key_, data, over), false, 's and the order');
  }
  const signer = await key(7);
  const [namespace, message] = [utf8('ns'), utf8('message')];
  const signature = await signer.sign(utf8('\u0002nsmessage'));
  assert.ok(await verify(signer.bytes, namespace, message, signature));
  assert.ok(!(await verify(signer.bytes, utf8('n'), utf8('smessage'), signature)), 'the border moved');
  assert.ok(!(await verify(signer.bytes, namespace, message, concat(signature.slice(0, 32), littleEndian(number(signature.slice(32)) + L)))));
});

test('the edge cases are those of ZIP-215', async () => {
  assert.equal(new Set(SMALL.map(hex)).size, 14);
  for (const a of SMALL) {
    assert.equal(isSound(a), false, hex(a));
    for (const r of SMALL) {
      assert.ok(await verify(a, utf8(''), utf8('Zcash'), concat(r, new Uint8Array(32))), `${hex(a)} ${hex(r)}`);
      assert.ok(!(await verify(a, utf8(''), utf8('Zcash'), concat(r, littleEndian(L)))), 's = order stands for zero');
    }
  }
  const none = littleEndian(2n);
  assert.equal(isSound(none), false);
  assert.ok(!(await verify(none, utf8(''), utf8('m'), concat(SMALL[2], new Uint8Array(32)))), 'no point');
  assert.ok(!(await verify(SMALL[2], utf8(''), utf8('m'), concat(none, new Uint8Array(32)))), 'no point');
});

test('a browser that cannot verify is told apart', async () => {
  assert.equal(await unable(), null);
  const held = Object.getOwnPropertyDescriptor(globalThis, 'crypto');
  const { subtle } = globalThis.crypto;
  const without = async (crypto_, why) => {
    Object.defineProperty(globalThis, 'crypto', { configurable: true, value: crypto_ });
    try {
      assert.match(await unable(), why);
    } finally {
      Object.defineProperty(globalThis, 'crypto', held);
    }
  };
  await without({}, /secure pages/);
  await without({ subtle: { importKey: () => Promise.reject(new Error('NotSupportedError')), digest: subtle.digest.bind(subtle) } }, /Ed25519/);
  assert.equal(await unable(), null);
});

test('reading a receipt decodes it and no more', () => {
  assert.equal(readReceipt(wire.receipt).leafIndex, 1n);
  assert.throws(() => readReceipt('{}'), Refused);
});

test('an error of ours is no verdict', async () => {
  await assert.rejects(verifyReceipt(wire.receipt, null), TypeError);
});
