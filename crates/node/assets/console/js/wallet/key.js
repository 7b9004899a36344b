// A wallet's key, in this page's memory only: never stored, never sent. WebCrypto signs; the node sees signatures.

import { hex, unhex } from '../bytes.js';

// What stands before a seed in PKCS #8 (RFC 8410)
const PKCS8 = unhex('302e020100300506032b657004220420');

/** Why a file gives no key. */
export class KeyError extends Error {
  get title() { return 'No key'; }
}

/** Whether this browser can sign; else why not. */
export async function able() {
  if (!globalThis.crypto?.subtle) {
    return 'Browsers sign on secure pages only. Open the console at localhost or 127.0.0.1, or over TLS; or use “wattle service buy”.';
  }
  try {
    await fromSeed(new Uint8Array(32).fill(1));
    return null;
  } catch {
    return 'This browser knows no Ed25519 signatures. Take a newer one, or use “wattle service buy”.';
  }
}

/** The key of a seed: `{ id, sign }`. What signs cannot be read out again. */
export async function fromSeed(seed) {
  const whole = new Uint8Array([...PKCS8, ...seed]);
  try {
    const open = await crypto.subtle.importKey('pkcs8', whole, 'Ed25519', true, ['sign']);
    const { x } = await crypto.subtle.exportKey('jwk', open);
    const key = await crypto.subtle.importKey('pkcs8', whole, 'Ed25519', false, ['sign']);
    const bytes = Uint8Array.from(atob(x.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
    return {
      id: hex(bytes),
      bytes,
      sign: async (message) => new Uint8Array(await crypto.subtle.sign('Ed25519', key, message)),
    };
  } finally {
    whole.fill(0);
  }
}

/** The key of a key file's text: a plain one holds the seed. */
export async function fromFile(text) {
  const trimmed = text.trim();
  if (trimmed.startsWith('{')) {
    throw new KeyError('This key is encrypted, and the console cannot decrypt it. Spend with “wattle service buy --wallet NAME”, or use a key made with “wattle wallet create --plain”.');
  }
  let seed;
  try {
    seed = unhex(trimmed, 32);
  } catch {
    throw new KeyError('This is no key file: a plain one is a line of 64 lower-case hexadecimal digits.');
  }
  const key = await fromSeed(seed);
  seed.fill(0);
  return key;
}

/** A new key, and the text of its file. */
export async function fresh() {
  const seed = crypto.getRandomValues(new Uint8Array(32));
  const file = `${hex(seed)}\n`;
  const key = await fromSeed(seed);
  seed.fill(0);
  return { key, file };
}
