// What the person may do here.

import { get } from './api.js';

let known = null;

/** The session as the API says it: `{ scopes, name, open }`. Asked once, unless `again`. */
export function session(again = false) {
  if (again || !known) {
    known = get('/session');
    known.catch(() => { known = null; });
  }
  return known;
}

/** Whether a scope is held; a node that does not say lets the API decide. */
export async function may(scope) {
  try {
    const { scopes } = await session();
    return !scopes || scopes.includes(scope) || scopes.includes('admin');
  } catch {
    return true;
  }
}
