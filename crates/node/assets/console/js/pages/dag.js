// The live DAG: messages as they appear, and milestones as they confirm them.

import { get } from '../api.js';
import { el } from '../element.js';
import { number, reading, short, time } from '../format.js';
import { copyable, facts, failure, head, id, panel, standing, table, tell } from '../parts.js';
import { Graph } from '../dag/graph.js';
import { Painter, SWEEP_MS } from '../dag/painter.js';

export const title = 'Live DAG';

/** Messages to begin with. */
const FIRST = 200;
/** Rows of the list below, and how often it follows. */
const [ROWS, LIST_MS] = [12, 1_000];
const ZOOM_STEP = 1.25;
/** Readings of a message that are shown, and the newest among which they are looked for. */
const [OF_BATCH, LOOKED] = [5, 1_000];

export async function show(root, _, life) {
  const graph = new Graph();
  const canvas = el('canvas', { tabindex: '0', role: 'img', 'aria-label': 'The newest messages of the ledger. The list below has them in words. Arrow keys pan and select, plus and minus zoom.' });
  const said = el('p', { class: 'said' });
  const pause = el('button', { type: 'button', class: 'small', 'aria-pressed': 'false' }, 'Pause');
  const live = panel('Messages and milestones', { wide: true, tools: el('div', { class: 'row' },
    el('button', { type: 'button', class: 'small', 'aria-label': 'Zoom out', onclick: () => painter.zoom(1 / ZOOM_STEP) }, '−'),
    el('button', { type: 'button', class: 'small', 'aria-label': 'Zoom in', onclick: () => painter.zoom(ZOOM_STEP) }, '+'),
    el('button', { type: 'button', class: 'small', onclick: () => { painter.back = 0; } }, 'Newest'), pause) });
  const details = panel('Message');
  const list = panel('Latest messages');
  details.empty('Choose a message, in the picture or in the list, to see its parents, its readings and what confirmed it.');
  root.append(head('Live DAG', 'Each node has a lane. A message names messages before it; one that nobody names yet is a tip. A milestone confirms all that its tips lead back to.'),
    el('div', { class: 'grid' }, live.root, list.root, details.root));
  live.show(el('div', null, el('div', { class: 'dag' }, canvas, said), legend()));
  const painter = new Painter(canvas, graph);
  window.addEventListener('wattle-theme', () => painter.colours(), { signal: life.signal });

  const clock = { lag: Infinity };
  const hear = (message) => {
    clock.lag = Math.min(clock.lag, Date.now() - message.issued_at_ms);
    graph.add(message, performance.now());
  };
  let paused = false;
  let waiting = [];
  pause.addEventListener('click', () => {
    paused = !paused;
    pause.setAttribute('aria-pressed', String(paused));
    pause.textContent = paused ? 'Go on' : 'Pause';
    if (!paused) waiting.splice(0).forEach((work) => work());
  });
  const take = (work) => {
    if (!paused) return work();
    waiting.push(work);
    if (waiting.length > graph.capacity) waiting.shift();
    return undefined;
  };
  await begin(graph, hear, life);
  life.on('message', (message) => take(() => hear(message)));
  life.on('milestone', (milestone) => take(() => graph.confirm(milestone, performance.now(), SWEEP_MS)));
  life.on('gap', () => tell('Some events were missed: the picture may lack messages.'));
  const choose = (name) => { painter.selected = name; void detail(details, name, graph, choose, life); };
  steer(canvas, painter, graph, choose, life);
  paint(painter, said, clock, () => paused, life);
  const rows = table([
    { title: 'Message', cell: (v) => el('button', { type: 'button', class: 'small', onclick: () => choose(v.id) }, short(v.id)) },
    { title: 'Node', cell: (v) => v.name },
    { title: 'Holds', cell: (v) => v.kind },
    { title: 'State', cell: (v) => (v.height !== null ? standing('confirmed') : v.tip ? el('span', { class: 'mark warn' }, 'tip') : standing('pending')) },
  ], (v) => v.id, 'Latest messages');
  life.every(LIST_MS, () => {
    const shown = graph.latest(ROWS).map((v) => ({ id: v.id, kind: v.kind, height: v.height, tip: Graph.tip(v), name: graph.lanes.get(v.issuer)?.name ?? short(v.issuer) }));
    if (shown.length) list.show(rows.update(shown));
    else list.empty('No message yet. The first one appears here as soon as a node issues it.');
  });
}

/** What there is already, the names of the nodes first: so lanes stand in the committee's order. */
async function begin(graph, hear, life) {
  const [members, messages] = await Promise.all([get('/committee', {}, life.signal).catch(() => ({ members: [] })), get('/messages', { limit: FIRST }, life.signal)]);
  members.members.forEach(({ key, name }) => graph.lanes.set(key, { index: graph.lanes.size % 16, name }));
  const old = messages.messages.slice().sort((a, b) => a.issued_at_ms - b.issued_at_ms);
  old.forEach((message) => {
    hear(message);
    const vertex = graph.vertices.get(message.id);
    if (message.height !== null && message.height !== undefined) Object.assign(vertex, { height: message.height, confirmedAt: 0 });
  });
}

/** Paints at the screen's pace, and says twice a second what is seen. */
function paint(painter, said, clock, paused, life) {
  let toldAt = 0;
  let frozen = 0;
  const frame = (now) => {
    if (life.signal.aborted) return;
    requestAnimationFrame(frame);
    if (document.hidden) return;
    const server = Date.now() - (Number.isFinite(clock.lag) ? clock.lag : 0);
    if (!paused()) frozen = server;
    painter.draw(now, paused() ? frozen : server);
    if (now - toldAt < 500) return;
    toldAt = now;
    const { sampled } = painter.graph;
    const part = sampled > 1 ? ` · busy: one message in ${number(sampled)} is shown` : '';
    said.textContent = `${plural(painter.drawn, 'message')} in sight, ${plural(painter.graph.tips(), 'tip')}${part}${painter.back > 0 ? ' · looking back' : ''}`;
  };
  requestAnimationFrame(frame);
}

const plural = (n, word) => `${number(n)} ${word}${n === 1 ? '' : 's'}`;

function steer(canvas, painter, graph, choose, life) {
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const down = new Map();
  let moved = 0;
  let apart = 0;
  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, at(event));
    [moved, apart] = [0, 0];
  });
  canvas.addEventListener('pointermove', (event) => {
    if (!down.has(event.pointerId)) return;
    const [x, y] = at(event);
    const [px] = down.get(event.pointerId);
    down.set(event.pointerId, [x, y]);
    if (down.size === 1) {
      moved += Math.abs(x - px);
      painter.pan(x - px);
      return;
    }
    const [[ax, ay], [bx, by]] = [...down.values()];
    const distance = Math.hypot(ax - bx, ay - by);
    if (apart > 0) painter.zoom(distance / apart, (ax + bx) / 2);
    apart = distance;
    moved = Infinity;
  });
  const up = (event) => {
    if (!down.delete(event.pointerId) || event.type === 'pointercancel' || moved > 6) return;
    const found = painter.near(...at(event));
    if (found) choose(found.id);
  };
  canvas.addEventListener('pointerup', up);
  canvas.addEventListener('pointercancel', up);
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    painter.zoom(Math.exp(-event.deltaY * 0.0015), at(event)[0]);
  }, { passive: false, signal: life.signal });
  canvas.addEventListener('keydown', (event) => {
    const list = graph.latest(graph.capacity);
    const here = list.findIndex((v) => v.id === painter.selected);
    const act = {
      '+': () => painter.zoom(ZOOM_STEP), '=': () => painter.zoom(ZOOM_STEP), '-': () => painter.zoom(1 / ZOOM_STEP),
      PageUp: () => painter.pan(160), PageDown: () => painter.pan(-160), End: () => { painter.back = 0; },
      ArrowLeft: () => list.length && choose(list[Math.min(here + 1, list.length - 1)].id),
      ArrowRight: () => list.length && choose(list[Math.max(here - 1, 0)].id),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

/** What one message is. */
async function detail(panel_, name, graph, choose, life) {
  panel_.root.setAttribute('aria-busy', 'true');
  try {
    const m = await get(`/messages/${name}`, {}, life.signal);
    const by = m.height === null ? null : await get(`/milestones/${m.height}`, {}, life.signal).catch(() => null);
    const lane = graph.lanes.get(m.issuer)?.name;
    const parts = [facts([
      ['Message', copyable(m.id)],
      ['Node', m.issuer_name ?? lane ?? id(m.issuer)],
      ['Number', number(m.sequence)],
      ['Issued', time(m.issued_at_ms)],
      ['Holds', `${m.body}${m.readings ? `: ${number(m.readings)} readings` : ''}${m.entries ? `: ${number(m.entries)}` : ''}`],
      ['Votes for requests', m.votes ? number(m.votes) : null],
      ['Size', `${number(m.bytes)} bytes`],
      ['State', standing(m.standing)],
      ['Milestone', m.height === null ? null : `${number(m.height)}${by ? ` of ${time(by.time_ms)}, epoch ${number(by.epoch)}` : ''}`],
      ['Its digest', by && id(by.digest)],
      ['Names', el('span', { class: 'row' }, m.parents.map((p) => el('button', { type: 'button', class: 'small', onclick: () => choose(p) }, short(p))))],
    ])];
    if (m.readings) parts.push(await batch(m, life));
    panel_.show(el('div', null, parts));
  } catch (problem) {
    if (problem.name !== 'AbortError') panel_.show(failure(problem, () => choose(name)));
  } finally {
    panel_.root.removeAttribute('aria-busy');
  }
}

/** Some readings of its batch, if they are among the newest that this node's site anchored. */
async function batch(m, life) {
  let found = [];
  try {
    const { readings } = await get('/readings', { limit: LOOKED }, life.signal);
    found = readings.filter((r) => r.message === m.id);
  } catch (problem) {
    if (problem.name === 'AbortError') throw problem;
  }
  if (!found.length) return el('p', { class: 'empty' }, 'Its readings are with the site that anchored them, or older than the newest that are looked through here.');
  const rows = table([
    { title: 'Reading', cell: (r) => el('a', { href: `#/reading/${r.id}` }, r.topic) },
    { title: 'Value', num: true, cell: (r) => reading(r) },
  ], (r) => r.id, 'Readings of the message');
  return rows.update(found.slice(0, OF_BATCH));
}

const legend = () => el('div', { class: 'legend' }, el('span', { class: 'tip' }, 'tip'), el('span', null, 'on its way'), el('span', { class: 'confirmed' }, 'confirmed'),
  el('span', { class: 'milestone' }, 'milestone'), el('small', null, 'Pauses without messages are shortened.'));
