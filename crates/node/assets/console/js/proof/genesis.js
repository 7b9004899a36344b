// A genesis file: whom to trust (R-22, R-29, R-30; wallet parameters WAL-50). Its network id is worked out, never believed.

import { compare, concat, hex, u16, u64, unhex, utf8, varint } from '../bytes.js';
import { sha256 } from '../sha256.js';
import { isSound } from './ed25519.js';
import { fields, parse, within } from './json.js';
import { COMMITTEE_MAX, ascending, name } from './records.js';
import { Refused } from './reader.js';

const FORMAT = 'wattle-genesis-v2';
const WALLETS_MAX = 4096;
const U16_MAX = (1n << 16n) - 1n;
const U32_MAX = (1n << 32n) - 1n;
const U64_MAX = (1n << 64n) - 1n;

const FIELDS = { format: 'text', network: 'text', name: 'text', subnet: 'number', created_ms: 'number', parameters: 'object', committee: 'list', wallets: 'list' };
const VALIDATOR = { name: 'text', key: 'text', stake: 'number' };
const WALLET = { key: 'text', balance: 'number' };
const u8 = (n) => Uint8Array.of(Number(n));
/** Name, least, most, encoding; in the order in which they are hashed. */
const PARAMETERS = [
  ['epoch_milestones', 2n, U64_MAX, varint],
  ['committee_max', 1n, BigInt(COMMITTEE_MAX), (n) => u16(Number(n))],
  ['stake_min', 0n, U64_MAX, varint],
  ['unbonding_epochs', 0n, U64_MAX, varint],
  ['slash_percent', 0n, 100n, u8],
  ['share_per_second', 1n, U32_MAX, varint],
  ['pow_difficulty', 0n, 16n, u8],
];
/** The same, with the default at the end. */
const WALLET_PARAMETERS = [
  ['threshold_percent', 67n, 100n, u8, 67n],
  ['difficulty', 0n, 16n, u8, 1n],
  ['shares_per_coin', 1n, 1_000_000n, varint, 5n],
  ['vote_reward', 0n, 10n ** 9n, varint, 2n],
  ['share_cap', 0n, 10n ** 12n, varint, 10_000n],
  ['reward_cap', 0n, 10n ** 12n, varint, 1_000n],
];

/** Refuses keys that are no committee. `sound` remembers keys that were found good, as hexadecimal. */
export function checkCommittee(keys, sound) {
  if (keys.length < 1 || keys.length > COMMITTEE_MAX) throw new Refused(`the committee has ${keys.length} validators, allowed are 1 to ${COMMITTEE_MAX}`);
  if (!ascending(keys)) throw new Refused('the keys of the committee are not strictly ascending');
  for (const key of keys) {
    const text = hex(key);
    if (!sound.has(text) && !isSound(key)) throw new Refused('the committee holds a key that is not sound');
    sound.add(text);
  }
}

function key(text, what) {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new Refused(`${what} is not 64 lower-case hexadecimal digits`);
  return unhex(text);
}

/** Numbers that the genesis states, in their ranges, encoded one after another. */
function numbers(value, ranges, what) {
  const stated = fields(value, Object.fromEntries(ranges.map(([each]) => [each, 'number'])), what);
  return { stated, bytes: concat(...ranges.map(([each, least, most, encode]) => encode(within(stated[each], least, most, each)))) };
}

/** Wallet parameters as they are hashed; nothing where they are the defaults. */
function walletParameters(value) {
  if (value === undefined) return new Uint8Array(0);
  const { stated, bytes } = numbers(value, WALLET_PARAMETERS, 'wallet_parameters');
  return WALLET_PARAMETERS.every(([each, , , , standard]) => stated[each] === standard) ? new Uint8Array(0) : bytes;
}

/** The genesis of a file's text or bytes: `{ network, id, name, subnet, epochMilestones, validators: [{ key, name }] }`. */
export function readGenesis(given) {
  const value = parse(given, 'the genesis');
  const more = value instanceof Map && value.has('wallet_parameters') ? { wallet_parameters: 'object' } : {};
  const json = fields(value, { ...FIELDS, ...more }, 'the genesis');
  if (json.format !== FORMAT) throw new Refused('the genesis has an unknown format');
  name(json.name, 'the name of the network');
  within(json.subnet, 0n, U16_MAX, 'the subnet');
  within(json.created_ms, 0n, U64_MAX, 'created_ms');
  const parameters = numbers(json.parameters, PARAMETERS, 'parameters');
  const aboutWallets = walletParameters(json.wallet_parameters);
  const committee = json.committee.map((entry) => {
    const one = fields(entry, VALIDATOR, 'a validator');
    return { ...one, key: key(one.key, 'the key of a validator'), name: name(one.name, 'the name of a validator') };
  });
  const wallets = json.wallets.map((entry) => {
    const one = fields(entry, WALLET, 'a wallet');
    return { ...one, key: key(one.key, 'the key of a wallet') };
  });
  if (wallets.length > WALLETS_MAX) throw new Refused(`there are ${wallets.length} wallets, the limit is ${WALLETS_MAX}`);
  if (!ascending(wallets, (a, b) => compare(a.key, b.key))) throw new Refused('the keys of the wallets are not strictly ascending');
  const supply = [...committee.map((one) => one.stake), ...wallets.map((one) => one.balance)].reduce((sum, n) => sum + n, 0n);
  within(supply, 0n, U64_MAX, 'the supply');
  checkCommittee(committee.map((one) => one.key), new Set());
  const text = (given_) => { const bytes = utf8(given_); return concat(varint(bytes.length), bytes); };
  const version = aboutWallets.length === 0 ? 2 : 3;
  const network = sha256(
    utf8(`wattle/genesis/v${version}`), u8(version), text(json.name), u16(Number(json.subnet)), u64(json.created_ms), parameters.bytes,
    varint(committee.length), ...committee.flatMap((one) => [one.key, text(one.name), varint(one.stake)]),
    varint(wallets.length), ...wallets.flatMap((one) => [one.key, varint(one.balance)]), aboutWallets,
  );
  if (json.network !== hex(network)) throw new Refused('the network id does not fit the rest of the genesis: somebody changed it');
  return {
    network,
    id: json.network,
    name: json.name,
    subnet: Number(json.subnet),
    epochMilestones: parameters.stated.epoch_milestones,
    validators: committee.map((one) => ({ key: one.key, name: one.name })),
  };
}
