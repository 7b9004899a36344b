// Verifies receipts by the rules of their specification; it shares no code with the nodes. It asks nobody and reads
// no clock; all it trusts is the genesis it is given.
//
//   reading ─▶ batch ─▶ message ─▶ milestone ─▶ (history) ─▶ certificate ─▶ committee ◀─ handovers ◀─ genesis

import { compare, concat, hex, utf8 } from '../bytes.js';
import { sha256 } from '../sha256.js';
import { verify } from './ed25519.js';
import { checkCommittee } from './genesis.js';
import { fields, parse, within } from './json.js';
import { leads, leaf } from './merkle.js';
import { ID_BYTES, Reader, Refused, unbase64 } from './reader.js';
import * as records from './records.js';

const FORMAT = 'wattle-receipt-v2';
//
const PATH_MAX = 64;
const HANDOVERS_MAX = 4096;
const U32_MAX = (1n << 32n) - 1n;
const U64_MAX = (1n << 64n) - 1n;

//
const RECEIPT = {
  format: 'text', reading: 'text', salt: 'text', leaf_index: 'number', batch_path: 'list', message: 'text', message_index: 'number',
  message_path: 'list', milestone: 'text', anchor: 'object or null', finalization: 'text', handovers: 'list',
};
const ANCHOR = { milestone: 'text', history_path: 'list' };
const HANDOVER = { milestone: 'text', finalization: 'text' };

/** One value of the wire, the whole of a field. */
function part(decode, text, what) {
  try {
    const reader = new Reader(unbase64(text, 'it'));
    const found = decode(reader);
    reader.end();
    return found;
  } catch (why) {
    throw why instanceof Refused ? new Refused(`${what}: ${why.message}`) : why;
  }
}

function hash(text, what) {
  const found = typeof text === 'string' ? unbase64(text, what) : [];
  if (found.length !== ID_BYTES) throw new Refused(`${what} is not ${ID_BYTES} bytes`);
  return found;
}

function hashes(list, what) {
  if (list.length > PATH_MAX) throw new Refused(`${what} has ${list.length} hashes, the limit is ${PATH_MAX}`);
  return list.map((text) => hash(text, `a hash of ${what}`));
}

function anchored(value) {
  if (value === null) return null;
  const { milestone, history_path: path } = fields(value, ANCHOR, 'the anchor');
  return { milestone: part(records.milestone, milestone, 'the anchor'), path: hashes(path, 'the history path') };
}

function handover(value) {
  const { milestone, finalization } = fields(value, HANDOVER, 'a handover');
  return {
    milestone: part(records.milestone, milestone, 'the milestone of a handover'),
    finalization: part(records.finalization, finalization, 'the certificate of a handover'),
  };
}

/** A receipt, decoded: nothing of it is believed yet. Throws `Refused`. */
export function readReceipt(given) {
  const json = fields(parse(given, 'the receipt'), RECEIPT, 'the receipt');
  if (json.format !== FORMAT) throw new Refused('the receipt has an unknown format');
  if (json.handovers.length > HANDOVERS_MAX) throw new Refused(`there are ${json.handovers.length} handovers, the limit is ${HANDOVERS_MAX}`);
  return {
    reading: part(records.reading, json.reading, 'the reading'),
    salt: hash(json.salt, 'the salt'),
    leafIndex: within(json.leaf_index, 0n, U32_MAX, 'leaf_index'),
    batchPath: hashes(json.batch_path, 'the batch path'),
    message: part(records.message, json.message, 'the message'),
    messageIndex: within(json.message_index, 0n, U64_MAX, 'message_index'),
    messagePath: hashes(json.message_path, 'the message path'),
    milestone: part(records.milestone, json.milestone, 'the milestone'),
    anchor: anchored(json.anchor),
    finalization: part(records.finalization, json.finalization, 'the finalization'),
    handovers: json.handovers.map(handover),
  };
}

function need(good, why) {
  if (!good) throw new Refused(why);
}

const same = (a, b) => compare(a, b) === 0;
const many = (n, one, more = `${one}s`) => `${n} ${n === 1 ? one : more}`;

/** Who signed, if a quorum did and every signature holds. */
async function signers({ votes, proposal }, committee, genesis) {
  const quorum = Math.floor((2 * committee.length) / 3) + 1;
  need(votes.length >= quorum, `${many(votes.length, 'validator')} signed, ${quorum} are needed`);
  const namespace = concat(utf8('wattle/milestone/v1/'), genesis.network, utf8('_FINALIZE'));
  const names = [];
  for (const { validator, signature } of votes) {
    const member = committee[validator];
    need(member, `validator ${validator} is not in the committee`);
    need(await verify(member.key, namespace, proposal, signature), `the signature of ${member.name} does not hold`);
    names.push(member.name);
  }
  return names;
}

/** The committee that a handover leads to. */
async function handOver({ milestone, finalization }, epoch, committee, genesis, sound) {
  const of = `the handover of epoch ${epoch}`;
  need(milestone.epoch === epoch && finalization.epoch === epoch, `${of} is of another epoch`);
  need(milestone.height === (epoch + 1n) * genesis.epochMilestones - 1n, `the milestone of ${of} does not close it`);
  need(milestone.subnet === genesis.subnet, `${of} belongs to another subnet`);
  need(milestone.nextCommittee, `${of} names no next committee`);
  need(same(finalization.digest, milestone.digest), `the certificate of ${of} is of another milestone`);
  await signers(finalization, committee, genesis);
  checkCommittee(milestone.nextCommittee, sound);
  const known = new Map(genesis.validators.map((member) => [hex(member.key), member.name]));
  return milestone.nextCommittee.map((key) => ({ key, name: known.get(hex(key)) ?? hex(key).slice(0, 16) }));
}

// Each step throws `Refused`, says what holds, or gives null if the receipt has nothing that it could look at. `c` is what is
// known: the genesis, the receipt `r`, and what steps before found.
const STEPS = [
  ['file', 'The file', 'R-2 to R-31', (c) => {
    c.r = readReceipt(c.given);
    return 'Every part is there, in its one allowed form.';
  }],
  ['message', 'Message', 'R-32', async ({ genesis, r: { message } }) => {
    need(same(message.tag, genesis.network.subarray(0, 8)), 'the message belongs to another network');
    need(message.subnet === genesis.subnet, 'the message belongs to another subnet');
    const namespace = concat(utf8('wattle/message/v2/'), genesis.network);
    need(await verify(message.issuer, namespace, concat(...message.signed), message.signature), 'the signature of the message is not its issuer’s');
    return 'It is of this network, and its issuer signed it.';
  }],
  ['batch', 'Batch', 'R-33, R-34', ({ r }) => {
    const { body } = r.message;
    need(body, 'the message anchors no readings');
    const found = leaf(r.salt, r.reading.bytes);
    need(leads(found, r.leafIndex, BigInt(body.count), r.batchPath, body.root), 'the reading is not in the batch that the message anchors');
    return `The reading is at place ${r.leafIndex} of ${body.count}: ${many(r.batchPath.length, 'hash', 'hashes')} lead to the root in the message.`;
  }],
  ['device', 'Device', 'R-45', async ({ genesis, r: { reading: { signed, bytes } } }) => {
    if (!signed) return null;
    const namespace = concat(utf8('wattle/device-reading/v1/'), genesis.network);
    const content = concat([1], bytes.subarray(1, -records.SIGNED_BYTES));
    need(await verify(signed.key, namespace, content, signed.signature), 'the device’s signature of the reading does not hold');
    return 'The device signed the reading with the key shown.';
  }],
  ['milestone', 'Milestone', 'R-35, R-36', ({ genesis, r }) => {
    const { milestone } = r;
    const led = leads(leaf(r.message.id), r.messageIndex, milestone.messageCount, r.messagePath, milestone.messagesRoot);
    need(led, 'the message is not among those that the milestone confirms');
    need(milestone.subnet === genesis.subnet, 'the milestone belongs to another subnet');
    return `Milestone ${milestone.height} confirms the message: ${many(r.messagePath.length, 'hash', 'hashes')} lead to its root.`;
  }],
  ['history', 'History', 'R-37', (c) => {
    const { milestone, anchor } = c.r;
    c.certified = anchor ? anchor.milestone : milestone;
    if (!anchor) return null;
    need(c.certified.subnet === c.genesis.subnet, 'the later milestone belongs to another subnet');
    const led = leads(leaf(milestone.digest), milestone.height, c.certified.height, anchor.path, c.certified.historyRoot);
    need(led, 'the milestone is not in the history of the certified one');
    return `It is in the history of milestone ${c.certified.height}, which is certified.`;
  }],
  ['certificate', 'Certificate', 'R-38, R-39', ({ genesis, certified, r: { milestone, finalization, handovers } }) => {
    need(same(finalization.digest, certified.digest), 'the certificate is of another milestone');
    for (const { height, epoch } of [milestone, certified]) {
      need(epoch === height / genesis.epochMilestones, `a milestone of height ${height} is not of epoch ${epoch}`);
    }
    need(finalization.epoch === certified.epoch, 'the certificate is of another epoch');
    need(BigInt(handovers.length) === certified.epoch, `the milestone is of epoch ${certified.epoch}, the handovers lead to epoch ${handovers.length}`);
    return `It is on milestone ${certified.height}, in epoch ${certified.epoch}.`;
  }],
  ['committee', 'Committee', 'R-40', async (c) => {
    c.committee = c.genesis.validators;
    const sound = new Set();
    for (const [i, one] of c.r.handovers.entries()) {
      c.signal?.throwIfAborted();
      c.committee = await handOver(one, BigInt(i), c.committee, c.genesis, sound);
    }
    const since = c.r.handovers.length === 0 ? 'It is that of the genesis' : `${many(c.r.handovers.length, 'handover')} from the genesis on, each signed by the committee before`;
    return `${since}; it has ${many(c.committee.length, 'member')}.`;
  }],
  ['signatures', 'Signatures', 'R-41', async (c) => {
    c.signers = await signers(c.r.finalization, c.committee, c.genesis);
    return `${c.signers.length} of ${c.committee.length} signed, and every signature holds: ${c.signers.join(', ')}.`;
  }],
];

/** What a receipt proves, in the words of `POST /api/v1/receipts/verify`; large numbers as BigInts. */
function proven({ genesis, r, certified, committee, signers: names }) {
  const { reading, message, milestone } = r;
  const issuer = genesis.validators.find((member) => same(member.key, message.issuer));
  return {
    reading: hex(sha256(utf8('wattle/reading/v1'), reading.bytes)),
    site: reading.site,
    device: reading.device,
    direction: reading.direction,
    data_type: reading.dataType,
    time_us: reading.timeUs,
    sequence: reading.sequence,
    unit: reading.unit,
    value: reading.value instanceof Uint8Array ? { hex: hex(reading.value) } : reading.value,
    device_key: reading.signed && hex(reading.signed.key),
    message: hex(message.id),
    issuer: hex(message.issuer),
    issuer_name: issuer ? issuer.name : hex(message.issuer),
    height: milestone.height,
    confirmed_ms: milestone.timeMs,
    certified_height: certified.height,
    epoch: certified.epoch,
    signers: names,
    committee: committee.length,
  };
}

/**
 * The verdict on a receipt (its text or bytes) under a genesis (of `readGenesis`):
 * `{ valid, why, steps: [{ name, title, rules, ok, said }], proves }`. `ok` is null for steps that were not reached; steps that
 * this receipt does not need are left out. `why` is null if it is valid, `proves` if it is not.
 */
export async function verifyReceipt(given, genesis, { signal } = {}) {
  const known = { given, genesis, signal };
  const steps = [];
  let why = null;
  for (const [name, title, rules, look] of STEPS) {
    const step = { name, title, rules, ok: null, said: null };
    steps.push(step);
    if (why !== null) continue;
    try {
      step.said = await look(known);
      step.ok = true;
      if (step.said === null) steps.pop();
    } catch (problem) {
      if (!(problem instanceof Refused)) throw problem;
      why = problem.message;
      Object.assign(step, { ok: false, said: `${why[0].toUpperCase()}${why.slice(1)}.` });
    }
  }
  return { valid: why === null, why, steps, proves: why === null ? proven(known) : null };
}
