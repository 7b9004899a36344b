// Takes values off bytes, each in its one allowed form. What is left over or in another form is refused.

/** What is checked proves nothing; the message says why. */
export class Refused extends Error {}

const U64_MAX = (1n << 64n) - 1n;
/** Bytes of a hash or key. */
export const ID_BYTES = 32;
/** Bytes of a signature. */
export const SIGNATURE_BYTES = 64;
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** UTF-8, nothing passed over; null if it is none. */
export function decodeUtf8(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** base64url without padding, the unused bits zero. */
export function unbase64(text, what) {
  const over = text.length % 4;
  const unused = over === 2 ? 0b1111 : over === 3 ? 0b11 : 0;
  if (over === 1 || !/^[A-Za-z0-9_-]*$/.test(text)) throw new Refused(`${what} is not base64url`);
  if (LETTERS.indexOf(text.slice(-1)) & unused) throw new Refused(`${what} is not canonical base64url`);
  return Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
}

/** Reads from the beginning on. Counts are numbers, whatever may reach 64 bits is a BigInt. */
export class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  get left() { return this.bytes.length - this.at; }

  /** What was read since `start`. */
  since(start) { return this.bytes.subarray(start, this.at); }

  take(count, what) {
    if (count > this.left) throw new Refused(`the bytes end inside ${what}`);
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  view(count, what) {
    const taken = this.take(count, what);
    return new DataView(taken.buffer, taken.byteOffset, count);
  }

  u8(what) { return this.take(1, what)[0]; }

  u16(what) { return this.view(2, what).getUint16(0); }

  u64(what) { return this.view(8, what).getBigUint64(0); }

  f64(what) { return this.view(8, what).getFloat64(0); }

  id(what) { return this.take(ID_BYTES, what); }

  signature(what) { return this.take(SIGNATURE_BYTES, what); }

  varint(what) {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.u8(what);
      if (byte === 0 && shift > 0n) throw new Refused(`${what} is an overlong integer`);
      value |= BigInt(byte & 0x7f) << shift;
      if (value > U64_MAX) break;
      if (byte < 0x80) return value;
    }
    throw new Refused(`${what} is over 64 bits`);
  }

  /** How many elements of at least `size` bytes follow. */
  length(most, size, what) {
    const found = this.varint(what);
    if (found > BigInt(most)) throw new Refused(`${what} has length ${found}, the limit is ${most}`);
    if (Number(found) * size > this.left) throw new Refused(`the bytes end inside ${what}`);
    return Number(found);
  }

  /** A number from 1 on. */
  count(most, what) {
    const found = this.varint(what);
    if (found < 1n || found > BigInt(most)) throw new Refused(`${what} is ${found}, allowed are 1 to ${most}`);
    return Number(found);
  }

  data(most, what) { return this.take(this.length(most, 1, what), what); }

  text(most, what) {
    const text = decodeUtf8(this.data(most, what));
    if (text === null) throw new Refused(`${what} is not UTF-8`);
    return text;
  }

  flag(what) {
    const byte = this.u8(what);
    if (byte > 1) throw new Refused(`the marker of ${what} is ${byte}, not 0 or 1`);
    return byte === 1;
  }

  /** One of the versions or tags that are known. */
  known(tags, what) {
    const byte = this.u8(what);
    if (!tags.includes(byte)) throw new Refused(`${what} is ${byte}, which is unknown`);
    return byte;
  }

  ids(most, what) { return Array.from({ length: this.length(most, ID_BYTES, what) }, () => this.id(what)); }

  end() {
    if (this.left > 0) throw new Refused(`${this.left} bytes follow its end`);
  }
}
