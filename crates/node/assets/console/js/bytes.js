// Bytes: joined, as hexadecimal, and the numbers of the wire formats (R-3, R-4 of the receipt specification).

const U64_MAX = (1n << 64n) - 1n;

/** UTF-8. */
export const utf8 = (text) => new TextEncoder().encode(text);

/** Bytes one after another. */
export function concat(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => { out.set(part, at); return at + part.length; }, 0);
  return out;
}

/** Less than 0, 0 or more than 0, as `a` stands before, with or after `b`. */
export function compare(a, b) {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i += 1) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

/** Lower-case hexadecimal. */
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Bytes of lower-case hexadecimal, `length` of them; throws if it is none. */
export function unhex(digits, length = null) {
  if (!/^(?:[0-9a-f]{2})*$/.test(digits) || (length !== null && digits.length !== length * 2)) {
    throw new RangeError(length === null ? 'This is not lower-case hexadecimal.' : `This is not ${length * 2} lower-case hexadecimal digits.`);
  }
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Unsigned LEB128. */
export function varint(value) {
  let rest = BigInt(value);
  if (rest < 0n || rest > U64_MAX) throw new RangeError('A number is out of range.');
  const out = [];
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    out.push(rest ? low | 0x80 : low);
  } while (rest);
  return Uint8Array.from(out);
}

/** 16 bits, big-endian. */
export const u16 = (value) => Uint8Array.of(value >> 8, value & 0xff);

/** 64 bits, big-endian. */
export function u64(value) {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(value));
  return out;
}
