// The API, as every other program sees it. A token, if one is needed, is kept for this tab alone.

const TOKEN = 'wattle-token';
let held = read();
let asking = null;
const waiting = new Set();

function read() {
  try { return sessionStorage.getItem(TOKEN); } catch { return null; }
}

/** Why the API did not do what was asked (RFC 9457). `status` is 0 if nobody answered. */
export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail || title);
    this.status = status;
    this.title = title;
  }
}

/** The token that is held, or null. */
export const token = () => held;

/** Keeps a token, or forgets it. */
export function keep(token) {
  held = token || null;
  try {
    if (held) sessionStorage.setItem(TOKEN, held);
    else sessionStorage.removeItem(TOKEN);
  } catch { /* then it is kept until the page is left */ }
  if (held) waiting.forEach((f) => f());
}

/** Calls `f` whenever a token was given. */
export function whenGiven(f) {
  waiting.add(f);
}

/** Headers of every request. */
export function headers(more = {}) {
  return held ? { Authorization: `Bearer ${held}`, ...more } : more;
}

/** Asks the person for a token, once for all that wait. False if they would rather not. */
export function ask(why) {
  asking ??= form(why).finally(() => { asking = null; });
  return asking;
}

function form(why) {
  const dialog = document.getElementById('ask');
  const [field, text, not] = ['ask-token', 'ask-why', 'ask-not'].map((id) => document.getElementById(id));
  if (why) text.textContent = why;
  field.value = '';
  dialog.returnValue = '';
  not.onclick = () => dialog.close('');
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      const given = dialog.returnValue === 'ok' && field.value.trim() !== '';
      if (given) keep(field.value.trim());
      field.value = '';
      resolve(given);
    }, { once: true });
  });
}

async function problem(response) {
  let said = {};
  try { said = await response.json(); } catch { /* not a problem document: the status alone must do */ }
  return new Problem(response.status, said.title ?? response.statusText, said.detail ?? '');
}

async function send(path, options) {
  for (let attempt = 0; ; attempt += 1) {
    let response;
    const used = held;
    try {
      response = await fetch(`/api/v1${path}`, { ...options, headers: headers(options.headers) });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Problem(0, 'No answer', 'The node does not answer. It may be stopped, or the network between is down.');
    }
    if (response.ok) return response;
    if (response.status !== 401 || attempt > 0) throw await problem(response);
    const why = used ? 'The token is not valid, or not any more. Make another on the node with “wattle token”.' : null;
    if (held === used && !(await ask(why))) throw await problem(response);
  }
}

/** GET: JSON. `query` leaves out what is null or empty. */
export async function get(path, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, v]) => v !== null && v !== undefined && v !== '');
  const tail = given.length ? `?${new URLSearchParams(given)}` : '';
  return (await send(`${path}${tail}`, { signal })).json();
}

/** GET: text, as it is. */
export async function text(path, signal = undefined) {
  return (await send(path, { signal })).text();
}

/** POST of JSON: JSON. */
export async function post(path, body, signal = undefined) {
  const json = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await send(path, { method: 'POST', body: json, headers: { 'Content-Type': 'application/json' }, signal });
  return response.json();
}

/** DELETE: nothing. */
export async function remove(path, signal = undefined) {
  await send(path, { method: 'DELETE', signal });
}

/** A name of several levels, or a reference, as a path has it: its slashes stay. */
export const path = (name) => name.split('/').map(encodeURIComponent).join('/');
