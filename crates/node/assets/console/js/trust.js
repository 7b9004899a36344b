// Which genesis receipts are checked against. It is all that a verdict rests on, so the person may name it: by a file, or by the
// network's id, which the genesis of the node must have then. Kept while the page is open, and sent to nobody.

import { text } from './api.js';
import { readGenesis } from './proof/genesis.js';
import { Refused } from './proof/reader.js';

/** Why there is no genesis to trust. */
export class TrustError extends Error {
  get title() { return 'No genesis to check against'; }
}

/** What the person gave: `{ genesis, file }` or `{ id }`; null if nothing. */
let given = null;

function read(source, whose) {
  try {
    return readGenesis(source);
  } catch (problem) {
    throw problem instanceof Refused ? new TrustError(`${whose} is not a genesis: ${problem.message}.`) : problem;
  }
}

/** Trust this genesis file from now on. */
export function trustFile(name, bytes) {
  given = { genesis: read(bytes, name), file: name };
}

/** Trust this network id from now on. */
export function trustId(id) {
  if (!/^[0-9a-f]{64}$/.test(id)) throw new TrustError('A network id is 64 lower-case hexadecimal digits: the field “network” of genesis.json.');
  given = { id };
}

/** Trust the node's genesis again. */
export function trustNode() {
  given = null;
}

/** The node's genesis. */
async function ofNode(signal) {
  return read(await text('/genesis', signal), 'What this node gives');
}

/** The same genesis, unless the person trusts another network. */
function asTrusted(genesis) {
  const wanted = given && (given.id ?? given.genesis.id);
  if (wanted && genesis.id !== wanted) throw new TrustError(`This node is of the network ${genesis.id}, not of ${wanted}, which you trust.`);
  return genesis;
}

/** Refuses a node of another network than the one that is trusted: it would check against its own genesis. */
export async function needsSameNetwork(signal) {
  if (given) asTrusted(await ofNode(signal));
}

/** The genesis that is trusted, and in words why: `{ genesis, because }`. Throws what the API says, or `TrustError`. */
export async function trusted(signal) {
  if (given?.genesis) return { genesis: given.genesis, because: `from the file ${given.file} that you gave` };
  const genesis = asTrusted(await ofNode(signal));
  return { genesis, because: given ? 'that this node gives and that has the id you gave' : 'that this node gives' };
}
