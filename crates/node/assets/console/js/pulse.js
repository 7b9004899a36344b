// How the node is, every two seconds: what the head of the page, the alarms and the overview's chart show.

import { get } from './api.js';

const EVERY_MS = 2_000;
/** Ten minutes. */
const KEPT_MAX = 300;

const told = new Set();
/** `{ at, overview }`, the oldest first. */
export const history = [];
/** The newest answer, and why there is none. */
export const pulse = { overview: null, problem: null };

/** Calls `f(pulse)` now, if anything is known, and at each beat until `signal` aborts. */
export function beat(f, signal) {
  told.add(f);
  signal?.addEventListener('abort', () => told.delete(f), { once: true });
  if (pulse.overview || pulse.problem) f(pulse);
}

/** Asks at once: somebody wants to try again. */
export async function ask() {
  try {
    pulse.overview = await get('/overview');
    pulse.problem = null;
    history.push({ at: Date.now() / 1000, overview: pulse.overview });
    if (history.length > KEPT_MAX) history.shift();
  } catch (problem) {
    pulse.problem = problem;
  }
  told.forEach((f) => f(pulse));
}

/** Begins. Nothing is asked while the page cannot be seen. */
export async function begin() {
  for (;;) {
    if (!document.hidden) await ask();
    await new Promise((resolve) => { setTimeout(resolve, EVERY_MS); });
  }
}
