// The frame: pages, navigation, the state of the connection.
//
//   #/name/rest ─▶ pages[name].show(view, rest, life)      life ends when another page comes

import { session } from './session.js';
import { el } from './element.js';
import { watch, on } from './events.js';
import { Life } from './life.js';
import { failure, tell } from './parts.js';
import { beat, begin } from './pulse.js';
import * as dag from './pages/dag.js';
import * as device from './pages/device.js';
import * as devices from './pages/devices.js';
import * as nodes from './pages/nodes.js';
import * as overview from './pages/overview.js';
import * as reading from './pages/reading.js';
import * as receipts from './pages/receipts.js';
import * as settings from './pages/settings.js';
import * as sites from './pages/sites.js';
import * as wallets from './pages/wallets.js';

const PAGES = { overview, dag, devices, device, reading, receipts, wallets, sites, nodes, settings };
/** What the navigation shows; the others are reached from these. */
const LISTED = ['overview', 'dag', 'devices', 'receipts', 'wallets', 'sites', 'nodes', 'settings'];
/** Under which of them the others belong. */
const UNDER = { device: 'devices', reading: 'devices' };

const view = document.getElementById('view');
const nav = document.getElementById('nav');
const menu = document.getElementById('menu');
let life = null;

function address() {
  const [, name = '', rest = ''] = /^#\/([a-z]+)\/?(.*)$/.exec(location.hash) ?? [];
  return Object.hasOwn(PAGES, name) ? { name, rest: rest.split('/').map(decode).join('/') } : { name: 'overview', rest: '' };
}

function decode(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

async function open(focus) {
  life?.end();
  life = new Life();
  const mine = life;
  const { name, rest } = address();
  const page = PAGES[name];
  document.title = `${page.title} · wattle`;
  document.querySelectorAll('nav a').forEach((link) => {
    if (link.dataset.page === (UNDER[name] ?? name)) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  });
  unfold(false);
  view.replaceChildren();
  view.dataset.page = name;
  scrollTo(0, 0);
  if (focus) view.focus({ preventScroll: true });
  try {
    await page.show(view, rest, mine);
  } catch (problem) {
    if (problem.name !== 'AbortError' && !mine.signal.aborted) view.replaceChildren(failure(problem, () => open(false)));
  }
}

function unfold(open) {
  menu.setAttribute('aria-expanded', String(open));
  nav.dataset.open = String(open);
}

function frame() {
  nav.append(el('ul', null, LISTED.map((name) => el('li', null, el('a', { href: `#/${name}`, 'data-page': name }, PAGES[name].title)))));
  menu.addEventListener('click', () => unfold(menu.getAttribute('aria-expanded') !== 'true'));
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape') unfold(false); });
  window.addEventListener('hashchange', () => open(true));
  const skip = document.querySelector('.skip');
  skip.addEventListener('click', (event) => { event.preventDefault(); view.focus(); });
}

function connection() {
  const live = document.getElementById('live');
  const where = document.getElementById('where');
  const words = { live: 'live', wait: 'connecting', off: 'needs a token', gone: 'no answer' };
  let stream = 'wait';
  const show = (state) => {
    if (live.dataset.state === state && live.textContent === words[state]) return;
    live.dataset.state = state;
    live.textContent = words[state];
  };
  watch((state) => { stream = state; show(state); });
  let seen = new Set();
  beat(({ overview: now, problem }) => {
    if (problem) return show(problem.status === 401 ? 'off' : 'gone');
    show(stream);
    where.textContent = `${now.name} · ${now.network.length > 24 ? `network ${now.network.slice(0, 8)}` : now.network}`;
    const alarms = new Set((now.alarms ?? []).map((a) => a.kind));
    const fresh = (now.alarms ?? []).filter((a) => !seen.has(a.kind));
    if (fresh.length) tell(`Alarm: ${fresh.map((a) => a.text).join(' · ')}`);
    document.body.dataset.alarms = String(alarms.size);
    seen = alarms;
  });
}

frame();
connection();
on('alarm', () => {}, undefined); // keeps the stream open on every page
session().then(({ scopes }) => { document.body.dataset.scopes = (scopes ?? []).join(' '); }).catch(() => {});
void begin();
void open(false);
