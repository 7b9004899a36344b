// What a receipt holds, taken off its bytes: readings, messages, milestones, certificates.

import { compare, utf8 } from '../bytes.js';
import { sha256 } from '../sha256.js';
import { leaf, root } from './merkle.js';
import { Refused } from './reader.js';

// every bound
const NAME_BYTES_MAX = 64;
const SITE_LEVELS_MAX = 4;
const VALUE_BYTES_MAX = 16 * 1024;
const UNIT_BYTES_MAX = 16;
const PARENTS_MAX = 8;
const VOTES_MAX = 1024;
const SHARES_MAX = 64;
const DATA_BYTES_MAX = 4096;
const BATCH_READINGS_MAX = 4096;
const BATCH_BYTES_MAX = 1 << 20;
const TIPS_MAX = 64;
const CUT_MESSAGES_MAX = 16 * 1024;
export const COMMITTEE_MAX = 128;

/** Bytes that a device's key and signature take at the end of a reading. */
export const SIGNED_BYTES = 96;
/** Bytes of a share, and of a vote in a certificate, at least. */
const SHARE_BYTES_MIN = 33;
const VOTE_BYTES = 65;

/** Unicode's category Cc. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const DIRECTIONS = ['sense', 'act'];

/** Whether a list is strictly ascending. */
export const ascending = (list, order = compare) => list.every((item, i) => i === 0 || order(list[i - 1], item) < 0);

/** A name, checked. */
export function name(text, what) {
  const size = utf8(text).length;
  if (size < 1 || size > NAME_BYTES_MAX) throw new Refused(`${what} has ${size} bytes, allowed are 1 to ${NAME_BYTES_MAX}`);
  if (text.startsWith('$') || /[/+#@]/.test(text) || CONTROL.test(text)) throw new Refused(`${what} holds a character that a name may not hold`);
  return text;
}

/** A site's name, checked: a name, or up to four parted by slashes. */
function siteName(text) {
  const levels = text.split('/');
  levels.forEach((level) => name(level, 'a site'));
  if (utf8(text).length > NAME_BYTES_MAX || levels.length > SITE_LEVELS_MAX) throw new Refused('a site is too long');
  if (levels.length > 1 && levels.some((level) => DIRECTIONS.includes(level))) throw new Refused('a site holds a level that it may not have');
  return text;
}

function value(reader) {
  switch (reader.known([0, 1, 2, 3], 'the tag of a value')) {
    case 0: {
      const number = reader.f64('a number');
      if (!Number.isFinite(number) || Object.is(number, -0)) throw new Refused('a number is not in canonical form');
      return number;
    }
    case 1: return reader.flag('a truth value');
    case 2: return reader.text(VALUE_BYTES_MAX, 'a text value');
    default: return reader.data(VALUE_BYTES_MAX, 'a byte value');
  }
}

/** A reading. `value` is a number, a truth value, a text or bytes. */
export function reading(reader) {
  const start = reader.at;
  const version = reader.known([1, 2], 'the version of the reading');
  const text = (what) => reader.text(NAME_BYTES_MAX, what);
  const site = siteName(text('a site'));
  const device = name(text('a device ID'), 'a device ID');
  const direction = DIRECTIONS[reader.known([0, 1], 'a direction')];
  const dataType = name(text('a data type'), 'a data type');
  const timeUs = reader.u64('the time of the reading');
  const sequence = reader.flag('a sequence') ? reader.varint('a sequence') : null;
  const unit = reader.flag('a unit') ? reader.text(UNIT_BYTES_MAX, 'a unit') : null;
  if (unit !== null && CONTROL.test(unit)) throw new Refused('a unit holds a control character');
  const found = { site, device, direction, dataType, timeUs, sequence, unit, value: value(reader), signed: null };
  if (version === 2) {
    if (sequence === null) throw new Refused('a signed reading has no sequence');
    found.signed = { key: reader.id('the key of a device'), signature: reader.signature('the signature of a device') };
  }
  return { ...found, bytes: reader.since(start) };
}

/** What a message says: of readings the root and how many they are; null if it anchors none. */
function body(reader) {
  const tag = reader.known([0, 1, 2, 3, 4, 5, 6], 'the kind of a body');
  // orders, evidence and what wallets say: whatever follows, R-33 refuses the message
  if (tag > 1) throw new Refused('the message anchors no readings');
  if (tag === 1) {
    reader.data(DATA_BYTES_MAX, 'a data body');
    return null;
  }
  const root_ = reader.id('the root of a batch');
  const count = reader.count(BATCH_READINGS_MAX, 'the count of a batch');
  reader.count(BATCH_BYTES_MAX, 'the size of a batch');
  const [first, last] = [reader.u64('the span of a batch'), reader.u64('the span of a batch')];
  if (first > last) throw new Refused('the span of a batch ends before it begins');
  reader.id('the blob of a batch');
  for (let shares = reader.length(SHARES_MAX, SHARE_BYTES_MIN, 'the shares of a message'); shares > 0; shares -= 1) {
    reader.id('a wallet');
    reader.count(BATCH_READINGS_MAX, 'a share');
  }
  return { root: root_, count };
}

/** A message with what its issuer signed and its id (R-19, R-21; with votes WAL-12). */
export function message(reader) {
  const start = reader.at;
  const version = reader.known([2, 3], 'the version of the message');
  const [tag, subnet, issuer] = [reader.take(8, 'a network tag'), reader.u16('a subnet'), reader.id('an issuer')];
  reader.varint('a sequence');
  const head = reader.since(start);
  const restAt = reader.at;
  const parents = reader.ids(PARENTS_MAX, 'the parents of a message');
  if (parents.length === 0) throw new Refused('a message names no parent');
  const [first, ...others] = parents;
  if (!ascending(others) || others.some((parent) => compare(parent, first) === 0)) throw new Refused('the parents of a message are not in canonical form');
  reader.u64('the time of a message');
  const beforeVotes = reader.since(restAt);
  const votes = reader.ids(VOTES_MAX, 'the votes of a message');
  if (!ascending(votes) || (version === 3) !== votes.length > 0) throw new Refused('the votes of a message are not in canonical form');
  const bodyAt = reader.at;
  const said = body(reader);
  reader.u64('a proof of work');
  const afterVotes = reader.since(bodyAt);
  const rest = reader.since(restAt);
  const signature = reader.signature('a signature');
  const hashed = votes.length === 0
    ? sha256(rest)
    : sha256(utf8('wattle/message/v3'), root(votes.map((vote) => leaf(vote))), sha256(beforeVotes, afterVotes));
  return { tag, subnet, issuer, body: said, signed: [head, hashed], signature, id: sha256(reader.since(start)) };
}

/** A milestone with its digest. */
export function milestone(reader) {
  const start = reader.at;
  reader.known([1], 'the version of the milestone');
  const subnet = reader.u16('a subnet');
  reader.id('a parent');
  const [height, epoch, timeMs] = [reader.varint('a height'), reader.varint('an epoch'), reader.u64('the time of a milestone')];
  if (!ascending(reader.ids(TIPS_MAX, 'the tips of a milestone'))) throw new Refused('the tips of a milestone are not in canonical form');
  const messageCount = reader.varint('the message count of a milestone');
  if (messageCount > BigInt(CUT_MESSAGES_MAX)) throw new Refused(`a milestone has ${messageCount} messages, the limit is ${CUT_MESSAGES_MAX}`);
  const messagesRoot = reader.id('a messages_root');
  reader.id('a state_root');
  const historyRoot = reader.id('a history_root');
  const nextCommittee = reader.flag('a next committee') ? reader.ids(COMMITTEE_MAX, 'a next committee') : null;
  if (nextCommittee && (nextCommittee.length === 0 || !ascending(nextCommittee))) throw new Refused('a next committee is not in canonical form');
  return { subnet, height, epoch, timeMs, messageCount, messagesRoot, historyRoot, nextCommittee, digest: sha256(reader.since(start)) };
}

/** A finalization with the proposal that is signed. */
export function finalization(reader) {
  const start = reader.at;
  const epoch = reader.varint('an epoch');
  reader.varint('a view');
  reader.varint('a parent view');
  const digest = reader.id('a digest');
  const proposal = reader.since(start);
  const votes = Array.from({ length: reader.length(COMMITTEE_MAX, VOTE_BYTES, 'the votes of a finalization') }, () => (
    { validator: reader.u8('the place of a validator'), signature: reader.signature('a signature') }));
  if (!ascending(votes, (a, b) => a.validator - b.validator)) throw new Refused('the votes of a finalization are not in canonical form');
  return { epoch, digest, proposal, votes };
}
