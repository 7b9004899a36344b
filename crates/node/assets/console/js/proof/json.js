// JSON as receipts and genesis files have it. JSON.parse would round large numbers and let a key come twice.

import { Refused, decodeUtf8 } from './reader.js';

/** Objects and lists within one another. */
const DEPTH_MAX = 16;
const SPACE = /[ \t\n\r]*/y;
const WHOLE = /(?:0|[1-9][0-9]{0,19})(?![0-9.eE])/y;
const WORDS = [['true', true], ['false', false], ['null', null]];

class Source {
  constructor(text, what) {
    this.text = text;
    this.what = what;
    this.at = 0;
  }

  refuse(why) { return new Refused(`${this.what} is not as it must be: ${why} at character ${this.at}`); }

  space() {
    SPACE.lastIndex = this.at;
    SPACE.exec(this.text);
    this.at = SPACE.lastIndex;
  }

  /** Whether this sign comes next; passes over it and the space behind it. */
  next(sign) {
    if (this.text[this.at] !== sign) return false;
    this.at += 1;
    this.space();
    return true;
  }

  need(sign) {
    if (!this.next(sign)) throw this.refuse(`no ${sign}`);
  }

  value(depth) {
    if (depth > DEPTH_MAX) throw this.refuse('too deep');
    const found = this.bare(depth);
    this.space();
    return found;
  }

  bare(depth) {
    if (this.text[this.at] === '"') return this.string();
    if (this.next('{')) return this.object(depth);
    if (this.next('[')) return this.list(depth);
    for (const [word, means] of WORDS) {
      if (this.text.startsWith(word, this.at)) { this.at += word.length; return means; }
    }
    return this.number();
  }

  number() {
    WHOLE.lastIndex = this.at;
    const found = WHOLE.exec(this.text);
    if (!found) throw this.refuse('neither a value nor a whole number');
    this.at = WHOLE.lastIndex;
    return BigInt(found[0]);
  }

  string() {
    let end = this.at + 1;
    while (end < this.text.length && this.text[end] !== '"') end += this.text[end] === '\\' ? 2 : 1;
    let found;
    try {
      found = JSON.parse(this.text.slice(this.at, end + 1));
    } catch {
      throw this.refuse('a broken text');
    }
    if (/[\ud800-\udfff]/u.test(found)) throw this.refuse('a text that is not Unicode');
    this.at = end + 1;
    return found;
  }

  object(depth) {
    const found = new Map();
    if (this.next('}')) return found;
    do {
      if (this.text[this.at] !== '"') throw this.refuse('no name');
      const key = this.string();
      this.space();
      if (found.has(key)) throw this.refuse('a name twice');
      this.need(':');
      found.set(key, this.value(depth + 1));
    } while (this.next(','));
    this.need('}');
    return found;
  }

  list(depth) {
    const found = [];
    if (this.next(']')) return found;
    do found.push(this.value(depth + 1)); while (this.next(','));
    this.need(']');
    return found;
  }
}

/** The value of a text or of its bytes. Objects are Maps, numbers are BigInts. `what` is its name in refusals. */
export function parse(given, what) {
  const text = typeof given === 'string' ? given : decodeUtf8(given);
  if (text === null) throw new Refused(`${what} is not UTF-8`);
  const reading = new Source(text, what);
  reading.space();
  const value = reading.value(0);
  if (reading.at < text.length) throw reading.refuse('something behind the end');
  return value;
}

const KINDS = {
  text: (value) => typeof value === 'string',
  number: (value) => typeof value === 'bigint',
  list: Array.isArray,
  object: (value) => value instanceof Map,
  'object or null': (value) => value === null || value instanceof Map,
};

/** An object with exactly the wanted keys, each of its kind: `{ key: kind, … }`. */
export function fields(value, wanted, what) {
  const keys = Object.keys(wanted);
  if (!(value instanceof Map) || value.size !== keys.length || !keys.every((key) => value.has(key))) {
    throw new Refused(`${what} is not an object with exactly the fields ${keys.join(', ')}`);
  }
  const wrong = keys.find((key) => !KINDS[wanted[key]](value.get(key)));
  if (wrong) throw new Refused(`the field ${wrong} of ${what} is not a ${wanted[wrong]}`);
  return Object.fromEntries(value);
}

/** A number within its range. */
export function within(value, least, most, what) {
  if (value < least || value > most) throw new Refused(`${what} is not between ${least} and ${most}`);
  return value;
}
