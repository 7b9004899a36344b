// Overview: how the node is, at a glance.

import { get } from '../api.js';
import { curves } from '../chart.js';
import { el } from '../element.js';
import { ms, number, reading, short, span, time } from '../format.js';
import { head, id, panel, standing, table, tile } from '../parts.js';
import { ask, beat, history } from '../pulse.js';

export const title = 'Overview';

const ROWS = 8;
const EVERY_MS = 2_000;

export async function show(root, _, life) {
  const alarms = el('div', { role: 'region', 'aria-label': 'Alarms' });
  const names = ['Readings arriving', 'Confirmed', 'Latency', 'Waiting in the cache', 'Peers', 'Committee', 'Epoch', 'Milestone'];
  const [arriving, confirmed, latency, cache, peers, committee, epoch, height] = names.map((name) => tile(name));
  const tiles = el('div', { class: 'tiles' }, [arriving, confirmed, latency, cache, peers, committee, epoch, height].map((t) => t.root));
  const rates = panel('Readings a second', { wide: true });
  const chart = curves({
    series: [{ label: 'arriving', colour: 'blossom' }, { label: 'confirmed', colour: 'accent' }],
    said: 'Readings a second over the last ten minutes',
    signal: life.signal,
  });
  const newest = panel('Latest readings', { tools: el('a', { href: '#/devices' }, 'All devices') });
  const chain = panel('Latest milestones', { tools: el('a', { href: '#/dag' }, 'Live DAG') });
  root.append(head('Overview', 'What arrives, what is confirmed, and whether anything needs you.'), alarms, tiles,
    el('div', { class: 'grid uneven' }, rates.root, newest.root, chain.root));

  beat(({ overview: now, problem }) => {
    alarms.replaceChildren(...(problem ? [unanswered(problem)] : (now.alarms ?? []).map(alarm)));
    if (!now) return;
    if (history.length > 1) rates.show(chart.box);
    else rates.empty('The curve begins in a moment.');
    chart.show([history.map((h) => h.at), history.map((h) => h.overview.readings_per_s), history.map((h) => h.overview.confirmed_per_s)],
      `Readings a second: ${number(now.readings_per_s)} arriving, ${number(now.confirmed_per_s)} confirmed`);
    arriving.set(number(now.readings_per_s), 'a second');
    confirmed.set(number(now.confirmed_per_s), 'a second');
    latency.set(ms(now.latency_ms?.p50), now.latency_ms ? `99 % within ${ms(now.latency_ms.p99)}` : 'nothing confirmed yet');
    cache.set(number(now.cache_depth), now.cache_depth ? 'not confirmed yet' : 'all confirmed');
    peers.set(number(now.peers), now.cut_off ? 'cut off from the others' : 'connected');
    committee.set(number(now.committee), now.validator ? 'with this node' : 'without this node');
    epoch.set(number(now.epoch), `${number(now.unconfirmed)} message${now.unconfirmed === 1 ? '' : 's'} on the way`);
    height.set(number(now.height), `${number(now.tips)} tip${now.tips === 1 ? '' : 's'}`);
  }, life.signal);

  const readings = table([
    { title: 'Device', cell: (r) => el('a', { href: `#/device/${r.topic}` }, r.topic) },
    { title: 'Value', num: true, cell: (r) => el('a', { href: `#/reading/${r.id}`, 'aria-label': `${reading(r)}: reading and receipt` }, reading(r)) },
    { title: 'Taken', cell: (r) => time(r.time_us / 1000) },
    { title: 'State', cell: (r) => standing(r.standing) },
  ], (r) => r.id, 'Latest readings');
  const readingsNow = life.every(EVERY_MS, async () => {
    try {
      const { readings: list } = await get('/readings', { limit: ROWS }, life.signal);
      if (list.length) newest.show(readings.update(list));
      else newest.empty('No reading yet. Publish one, over MQTT, to root/device/SITE/DEVICE/sense/TYPE.');
    } catch (problem) {
      newest.fail(problem, readingsNow);
    }
  });
  const milestones = table([
    { title: 'Height', num: true, cell: (m) => number(m.height) },
    { title: 'Digest', cell: (m) => id(m.digest) },
    { title: 'Time', cell: (m) => time(m.time_ms) },
    { title: 'Messages', num: true, cell: (m) => number(m.messages) },
  ], (m) => m.height, 'Latest milestones');
  const chainNow = life.every(EVERY_MS, async () => {
    try {
      const { milestones: list } = await get('/milestones', { limit: ROWS }, life.signal);
      if (list.length) chain.show(milestones.update(list));
      else chain.empty('No milestone yet: the committee has not begun.');
    } catch (problem) {
      chain.fail(problem, chainNow);
    }
  });
}

function alarm(a) {
  return el('div', { class: 'alarm' }, el('p', null, el('strong', null, a.text), ` · for ${span(Date.now() - a.since_ms)}`), a.todo && el('p', null, a.todo));
}

function unanswered(problem) {
  return el('div', { class: 'alarm' }, el('p', null, el('strong', null, problem.status === 401 ? 'This node asks for a token' : short(problem.title))), el('p', null, problem.message),
    el('p', null, el('button', { type: 'button', onclick: ask }, 'Try again')));
}
