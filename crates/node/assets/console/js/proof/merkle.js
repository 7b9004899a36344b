// Trees of RFC 9162.

import { compare } from '../bytes.js';
import { sha256 } from '../sha256.js';

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** The hash of a leaf. */
export const leaf = (...parts) => sha256(LEAF, ...parts);

/** The root over hashes of leaves, at least one. */
export function root(leaves) {
  if (leaves.length === 1) return leaves[0];
  let half = 1;
  while (half * 2 < leaves.length) half *= 2;
  return sha256(NODE, root(leaves.slice(0, half)), root(leaves.slice(half)));
}

/** Whether a path leads from the hash of a leaf at `index` to the root of a tree of `size` leaves; both are BigInts. */
export function leads(hash, index, size, path, root_) {
  if (index >= size) return false;
  let [fn, sn, r] = [index, size - 1n, hash];
  for (const p of path) {
    if (sn === 0n) return false;
    if (fn & 1n || fn === sn) {
      r = sha256(NODE, p, r);
      while (!(fn & 1n) && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      r = sha256(NODE, r, p);
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  return sn === 0n && compare(r, root_) === 0;
}
