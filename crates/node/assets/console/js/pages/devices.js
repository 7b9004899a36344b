// Devices: what each last said. Those that published lately, and those that are registered.

import { get } from '../api.js';
import { spark } from '../chart.js';
import { el } from '../element.js';
import { reading, time, topic } from '../format.js';
import { field, head, mark, panel, standing, table } from '../parts.js';

export const title = 'Devices';

const EVERY_MS = 3_000;
/** Readings that are looked through. */
const LOOKED = 1_000;
/** Points of a small curve. */
const POINTS = 40;
const SHOWN_MAX = 200;
/** Registered devices are asked for in pages of so many, so many pages at most, every so many rounds. */
const [PAGE, PAGES_MAX, REGISTRY_EVERY] = [1_000, 10, 10];

export async function show(root, _, life) {
  const search = el('input', { type: 'search', placeholder: 'a site, a device or a kind of value', autocomplete: 'off', spellcheck: 'false' });
  const found = panel('Series', { note: 'One row for each kind of value of each device, the newest first.' });
  root.append(head('Devices', 'What each device said last. Choose a value for its receipt, a device for its past.'),
    el('div', { class: 'search' }, field('Search', search)), found.root);
  const rows = table([
    { title: 'Device', cell: (d) => el('a', { href: `#/device/${d.topic}` }, `${topic(d.topic).site}/${topic(d.topic).device}`) },
    { title: 'Kind', cell: (d) => topic(d.topic).type },
    { title: 'Last value', num: true, cell: (d) => (d.last ? reading(d.last) : '–') },
    { title: 'Receipt', cell: (d) => (d.last ? el('a', { class: 'button small', href: `#/reading/${d.last.id}` }, 'Receipt') : '') },
    { title: 'Lately', cell: (d) => spark(d.values) },
    { title: 'Taken', cell: (d) => (d.last ? time(d.last.time_us / 1000) : '–') },
    { title: 'State', cell: (d) => (d.last ? standing(d.last.standing) : mark('nothing yet')) },
    { title: 'Registered', cell: (d) => (d.registered ? mark(d.registered, d.registered === 'active' ? 'good' : 'bad') : mark('no')) },
  ], (d) => d.topic, 'Devices and their last values');
  let all = [];
  let known = [];
  let round = 0;
  const draw = () => {
    const wanted = search.value.trim().toLowerCase();
    const some = all.filter((d) => d.topic.toLowerCase().includes(wanted));
    if (!all.length) found.empty('No device has published yet. Any MQTT client may: root/device/SITE/DEVICE/sense/TYPE.');
    else if (!some.length) found.empty(`No series has “${search.value.trim()}” in its name.`);
    else found.show(rows.update(some.slice(0, SHOWN_MAX)));
  };
  search.addEventListener('input', draw);
  const now = life.every(EVERY_MS, async () => {
    try {
      const { readings } = await get('/readings', { limit: LOOKED }, life.signal);
      if (round % REGISTRY_EVERY === 0) known = await registered(life.signal);
      round += 1;
      all = series(readings, known);
      draw();
    } catch (problem) {
      found.fail(problem, now);
    }
  });
}

/** The registered devices of this node's site, as far as they are shown; none if the node cannot say. */
async function registered(signal) {
  const found = [];
  try {
    let cursor = null;
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const { devices, next } = await get('/devices', { limit: PAGE, cursor }, signal);
      found.push(...devices);
      if (!next) break;
      cursor = next;
    }
  } catch (problem) {
    if (problem.name === 'AbortError') throw problem;
  }
  return found;
}

/** Readings, the newest first, by topic; registered devices that said nothing lately at the end. */
export function series(readings, devices) {
  const states = new Map(devices.map((d) => [d.device, d.state]));
  const byTopic = new Map();
  for (const r of readings) {
    if (!byTopic.has(r.topic)) byTopic.set(r.topic, { topic: r.topic, last: r, values: [], registered: null });
    const one = byTopic.get(r.topic);
    if (one.values.length < POINTS && typeof r.value === 'number') one.values.unshift(r.value);
  }
  const heard = new Set();
  for (const one of byTopic.values()) {
    const { site, device } = topic(one.topic);
    heard.add(`${site}/${device}`);
    one.registered = states.get(`${site}/${device}`) ?? null;
  }
  const silent = devices.filter((d) => !heard.has(d.device)).map((d) => ({ topic: `${d.device}/sense/–`, last: null, values: [], registered: d.state }));
  return [...byTopic.values(), ...silent];
}
