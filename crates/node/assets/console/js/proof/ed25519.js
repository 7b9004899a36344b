// Ed25519 by ZIP-215. WebCrypto looks first: what it accepts ZIP-215 accepts too. Of what it refuses, the slow
// check below decides. Nothing here is secret, so nothing needs to take the same time always.

import { concat, unhex, varint } from '../bytes.js';

const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

const mod = (n) => { const r = n % P; return r < 0n ? r + P : r; };

function power(base, exponent) {
  let [result, square] = [1n, mod(base)];
  for (let rest = exponent; rest; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % P;
    square = (square * square) % P;
  }
  return result;
}

const D = mod(-121665n * power(121666n, P - 2n));
const ROOT_OF_MINUS_1 = power(2n, (P - 1n) / 4n);

function littleEndian(bytes) {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/** The point [X, Y, Z, T] of 32 bytes, or null: y may be p or more, x = 0 may have the sign. */
function decompress(bytes) {
  const raw = littleEndian(bytes);
  const [sign, y] = [raw >> 255n, mod(raw & ((1n << 255n) - 1n))];
  const [u, v] = [mod(y * y - 1n), mod(D * y * y + 1n)];
  const v3 = mod(v * v * v);
  let x = mod(u * v3 * power(u * v3 * v3 * v, (P - 5n) / 8n));
  if (mod(v * x * x) !== u) x = mod(x * ROOT_OF_MINUS_1);
  if (mod(v * x * x) !== u) return null;
  if ((x & 1n) !== sign) x = mod(-x);
  return [x, y, 1n, mod(x * y)];
}

const completed = (e, f, g, h) => [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];

function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const [a, b, c, d] = [mod((y1 - x1) * (y2 - x2)), mod((y1 + x1) * (y2 + x2)), mod(2n * D * t1 * t2), mod(2n * z1 * z2)];
  return completed(b - a, d - c, d + c, b + a);
}

function double([x, y, z]) {
  const [a, b, c] = [mod(x * x), mod(y * y), mod(2n * z * z)];
  const [h, g] = [a + b, a - b];
  return completed(h - (x + y) ** 2n, c + g, g, h);
}

const negate = ([x, y, z, t]) => [mod(-x), y, z, mod(-t)];
const timesEight = (point) => double(double(double(point)));
const isNeutral = ([x, y, z]) => x === 0n && y === z;
const BASE = decompress(unhex(`58${'66'.repeat(31)}`));

/** Whether [8](s·B − k·A − R) is the neutral element. */
export async function zip215(key, data, signature) {
  const [a, r, s] = [decompress(key), decompress(signature.subarray(0, 32)), littleEndian(signature.subarray(32))];
  if (!a || !r || s >= L) return false;
  const hash = await crypto.subtle.digest('SHA-512', concat(signature.subarray(0, 32), key, data));
  const k = littleEndian(new Uint8Array(hash)) % L;
  // both products in one chain of doublings
  const minusA = negate(a);
  const terms = [null, BASE, minusA, add(BASE, minusA)];
  let total = [0n, 1n, 1n, 0n];
  for (let bit = 252n; bit >= 0n; bit -= 1n) {
    total = double(total);
    const term = terms[Number(((s >> bit) & 1n) | (((k >> bit) & 1n) << 1n))];
    if (term) total = add(total, term);
  }
  return isNeutral(timesEight(add(total, negate(r))));
}

async function quick(key, data, signature) {
  try {
    const held = await crypto.subtle.importKey('raw', key, 'Ed25519', false, ['verify']);
    return await crypto.subtle.verify('Ed25519', held, signature, data);
  } catch {
    return false; // browsers differ in the keys they take
  }
}

/** Whether a signature is a key's, of a message under a namespace. */
export async function verify(key, namespace, message, signature) {
  if (littleEndian(signature.subarray(32)) >= L) return false;
  const data = concat(varint(namespace.length), namespace, message);
  return (await quick(key, data, signature)) || zip215(key, data, signature);
}

/** Whether a key is a point, and not of small order. */
export function isSound(key) {
  const point = decompress(key);
  return point !== null && !isNeutral(timesEight(point));
}

/** Why this browser cannot verify signatures, or null if it can: it is tried with RFC 8032's first vector. */
export async function unable() {
  if (!globalThis.crypto?.subtle) return 'Browsers verify signatures on secure pages only: at localhost or 127.0.0.1, or over TLS.';
  const key = unhex('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
  const good = unhex('e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b');
  return (await quick(key, new Uint8Array(0), good)) ? null : 'This browser knows no Ed25519 signatures: a newer one does.';
}
