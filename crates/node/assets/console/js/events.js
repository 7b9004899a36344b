// The node's events: one stream for the whole page, of the kinds that somebody listens to.
//
//   fetch ─▶ lines ─▶ { id, kind, data } ─▶ listeners      after a break: again from Last-Event-ID
//
// `message` and `reading` are samples: they are sent only while somebody listens to them, and not again after a break.
//
// EventSource cannot send a token, so the stream is read by hand (HTML, server-sent events, section 9.2.6).

import { Problem, ask, headers, token, whenGiven } from './api.js';

const WAIT_MIN_MS = 500;
const WAIT_MAX_MS = 8_000;
/** What a stream may hold back before its line ends; more is no event of ours. */
const LINE_MAX = 1 << 20;

const listeners = new Map(); // kind → Set of functions
const watchers = new Set();
let state = 'wait';
let current = null;
let last = null;
let planned = false;

/** Tells `state` (live, wait, off) now and whenever it changes. */
export function watch(told) {
  watchers.add(told);
  told(state);
}

function become(next) {
  if (next === state) return;
  state = next;
  watchers.forEach((told) => told(state));
}

/** Calls `heard(data)` at each event of a kind until `signal` aborts. `gap` is heard by all. */
export function on(kind, heard, signal) {
  if (!listeners.has(kind)) listeners.set(kind, new Set());
  listeners.get(kind).add(heard);
  plan();
  signal?.addEventListener('abort', () => {
    listeners.get(kind).delete(heard);
    plan();
  }, { once: true });
}

const wanted = () => [...listeners].filter(([kind, set]) => kind !== 'gap' && set.size > 0).map(([kind]) => kind).sort().join(',');

function plan() {
  if (planned) return;
  planned = true;
  queueMicrotask(() => {
    planned = false;
    if (current?.kinds === wanted()) return;
    current?.controller.abort();
    last = null; // other kinds: what was told meanwhile was nobody's to hear
    const kinds = wanted();
    current = kinds ? { kinds, controller: new AbortController() } : null;
    if (current) void run(current);
  });
}

// who would give no token at first, and does later, hears again
whenGiven(() => { if (!current) plan(); });

async function run(stream) {
  const { signal } = stream.controller;
  let wait = WAIT_MIN_MS;
  while (!signal.aborted) {
    try {
      const used = token();
      const more = last === null ? {} : { 'Last-Event-ID': last };
      const response = await fetch(`/api/v1/events?kinds=${stream.kinds}`, { headers: headers({ Accept: 'text/event-stream', ...more }), signal });
      if (response.status === 401) {
        become('off');
        if (token() === used && !(await ask(null))) {
          if (current === stream) current = null;
          return;
        }
        continue;
      }
      if (!response.ok || !response.body) throw new Problem(response.status, 'No events', '');
      become('live');
      wait = WAIT_MIN_MS;
      await lines(response.body, signal);
    } catch (error) {
      if (signal.aborted) return;
    }
    if (signal.aborted) return;
    become('wait');
    await new Promise((resolve) => { setTimeout(resolve, wait); });
    wait = Math.min(wait * 2, WAIT_MAX_MS);
  }
}

async function lines(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parse = parser((kind, id, data) => {
    if (id !== null) last = id;
    let value;
    try { value = JSON.parse(data); } catch { return; }
    listeners.get(kind)?.forEach((heard) => heard(value));
  });
  for (;;) {
    const { value, done } = await reader.read();
    if (done || signal.aborted) return;
    if (!parse(value)) return reader.cancel();
  }
}

/** Takes pieces of a stream apart: `tell(kind, id, data)` at each event. False once a line is too long. */
export function parser(tell) {
  let rest = '';
  let [kind, id, data] = ['message', null, []];
  const line = (text) => {
    if (text === '') {
      if (data.length) tell(kind, id, data.join('\n'));
      [kind, data] = ['message', []];
      return;
    }
    const colon = text.indexOf(':');
    if (colon === 0) return;
    const name = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? '' : text.slice(colon + 1).replace(/^ /, '');
    if (name === 'event') kind = value;
    else if (name === 'data') data.push(value);
    else if (name === 'id' && !value.includes('\0')) id = value;
  };
  return (piece) => {
    const parts = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = parts.pop();
    parts.forEach(line);
    return rest.length <= LINE_MAX;
  };
}
