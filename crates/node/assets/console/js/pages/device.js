// One series of a device: its past as a curve and as a table.

import { get, path, text } from '../api.js';
import { curves } from '../chart.js';
import { el } from '../element.js';
import { NOTHING, number, reading, time, topic } from '../format.js';
import { facts, head, id, mark, panel, save, standing, table, tell } from '../parts.js';

export const title = 'Device';

const EVERY_MS = 2_000;
const LIMIT = 300;
const ROWS = 50;

export async function show(root, name, life) {
  const { site, device, direction, type } = topic(name);
  const known = type !== NOTHING;
  root.append(head(`${site}/${device}`, known ? `${direction === 'act' ? 'Commands' : 'Readings'} of kind ${type}` : 'Registered; nothing was heard of it yet'));
  const past = panel('Its past', { wide: true });
  const list = panel('Readings', { wide: true });
  const registry = panel('Registration', { wide: true });
  root.append(el('div', { class: 'grid' }, known && [past.root, list.root], registry.root));
  await Promise.all([known && follow(name, past, list, life), register(`${site}/${device}`, registry, life)]);
}

function follow(name, past, list, life) {
  const chart = curves({ series: [{ label: topic(name).type, colour: 'accent' }], said: 'Values over time', signal: life.signal, points: true });
  const rows = table([
    { title: 'Taken', cell: (r) => time(r.time_us / 1000) },
    { title: 'Value', num: true, cell: (r) => reading(r) },
    { title: 'Receipt', cell: (r) => el('a', { class: 'button small', href: `#/reading/${r.id}` }, 'Receipt') },
    { title: 'State', cell: (r) => standing(r.standing) },
    { title: 'Milestone', num: true, cell: (r) => (r.height === null ? NOTHING : number(r.height)) },
    { title: 'Signed by the device', cell: (r) => (r.device_key ? id(r.device_key) : 'no') },
  ], (r) => r.id, 'Readings');
  const now = life.every(EVERY_MS, async () => {
    try {
      const { readings } = await get('/readings', { topic: name, limit: LIMIT }, life.signal);
      if (!readings.length) {
        past.empty('Nothing was published under this topic, or it is older than this node keeps.');
        list.empty('No readings.');
        return;
      }
      const numbers = readings.filter((r) => typeof r.value === 'number').sort((a, b) => a.time_us - b.time_us);
      if (numbers.length > 1) {
        past.show(chart.box);
        chart.show([numbers.map((r) => r.time_us / 1e6), numbers.map((r) => r.value)], `${numbers.length} values, the last is ${reading(numbers.at(-1))}`);
      } else {
        past.empty('A curve needs two numbers at least.');
      }
      list.show(rows.update(readings.slice(0, ROWS)));
    } catch (problem) {
      past.fail(problem, now);
      list.fail(problem, now);
    }
  });
}

async function register(device, panel_, life) {
  try {
    const d = await get(`/devices/${path(device)}`, {}, life.signal);
    panel_.show(facts([
      ['State', mark(d.state, d.state === 'active' ? 'good' : 'bad')],
      ['Owner', id(d.owner, `#/wallets/${d.owner}`)],
      ['Key', d.key ? id(d.key) : 'none: its readings are not signed'],
      ['Registered', d.registered === undefined ? null : `in milestone ${number(d.registered)}`],
      ['Thing Description', d.thing ? el('button', { type: 'button', class: 'small', onclick: () => thing(device) }, 'Save as JSON') : 'none'],
    ]));
  } catch (problem) {
    if (problem.status === 404) panel_.empty('Not registered. Its readings are kept and anchored all the same; “wattle device register” enters it, with a key of its own.');
    else panel_.fail(problem);
  }
}

/** Saves a Thing Description. A link could not carry the token. */
async function thing(device) {
  try {
    save(`${device.replaceAll('/', '-')}.td.json`, await text(`/things/${path(device)}`), 'application/td+json');
  } catch (problem) {
    tell(problem.message);
  }
}
