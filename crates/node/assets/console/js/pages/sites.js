// Sites, tiers, cache: what this node's site takes in, keeps, and passes on.

import { get } from '../api.js';
import { el } from '../element.js';
import { NOTHING, bytes, ms, number, span } from '../format.js';
import { facts, head, mark, panel, table, tile } from '../parts.js';

export const title = 'Sites and tiers';

const EVERY_MS = 2_000;

export async function show(root, _, life) {
  const box = el('div', { class: 'stack', 'aria-live': 'off' });
  const problems = panel('Site');
  root.append(head('Sites and tiers', 'The broker, the fog processor, the cache and the brokers above and below.'), box);
  box.append(problems.root);
  let view = null;
  const now = life.every(EVERY_MS, async () => {
    let status;
    try {
      status = await get('/status', {}, life.signal);
    } catch (problem) {
      view = null;
      box.replaceChildren(problems.root);
      problems.fail(problem, now);
      return;
    }
    if (!status.site_stats && !status.parts) {
      view = null;
      box.replaceChildren(problems.root);
      problems.empty('This node serves no site: it orders and confirms what others anchor. Look at the console of a site’s own node.');
      return;
    }
    if (!view) {
      view = build();
      box.replaceChildren(view.root);
    }
    view.show(status);
  });
}

function build() {
  const names = ['Broker', 'Readings taken in', 'Confirmed', 'Waiting in the cache', 'On disk', 'Latency'];
  const tiles = names.map((name) => tile(name));
  const [intake, cache, tiers, fog, sn] = ['What arrived', 'Cache', 'Brokers above and below', 'Fog processor', 'MQTT-SN gateway'].map((name) => panel(name));
  const links = table([
    { title: 'Broker', cell: (l) => l.id },
    { title: 'Scope', cell: (l) => l.scope },
    { title: 'Way', cell: (l) => l.way },
    { title: 'State', cell: (l) => mark(l.connected ? 'connected' : 'cut off', l.connected ? 'good' : 'bad') },
    { title: 'Waiting', num: true, cell: (l) => number(l.queued) },
  ], (l) => `${l.way} ${l.id}`, 'Brokers above and below');
  const root = el('div', null, el('div', { class: 'tiles' }, tiles.map((t) => t.root)),
    el('div', { class: 'grid' }, intake.root, cache.root, tiers.root, fog.root, sn.root));
  const show = (status) => {
    const s = status.site_stats;
    if (s) {
      const [broker, taken, confirmed, waiting, disk, latency] = tiles;
      broker.set(s.connected ? 'connected' : 'away', status.site ? `site ${status.site}` : '');
      taken.set(number(s.readings), `${number(s.accepted)} publishes`);
      confirmed.set(number(s.confirmed), s.readings === s.confirmed ? 'all of them' : `${number(s.readings - s.confirmed)} to come`);
      waiting.set(number(s.cache_pending), 'readings');
      disk.set(bytes(s.log_bytes), 'the log of readings');
      latency.set(ms(s.latency_ms?.p50), s.latency_ms ? `99 % within ${ms(s.latency_ms.p99)}` : '');
      intake.show(facts([
        ['Broker', s.broker], ['Accepted', number(s.accepted)], ['Duplicates recognised', number(s.duplicates)],
        ['Malformed', bad(s.rejected)], ['Not acknowledged', bad(s.refused)], ['Of unknown devices', bad(s.unbelieved?.unknown)],
        ['Not signed', bad(s.unbelieved?.unsigned)], ['Forged', bad(s.unbelieved?.forged)], ['Replayed', bad(s.unbelieved?.replayed)], ['Of revoked devices', bad(s.unbelieved?.revoked)],
      ]));
    } else {
      intake.empty('The broker is a process of its own.');
    }
    const c = status.parts?.cache;
    if (c) {
      cache.show(facts([['Waiting', number(c.pending)], ['On disk', `${bytes(c.pending_bytes)} of ${bytes(c.limit_bytes)}`], ['Oldest', c.oldest_ms ? span(Date.now() - c.oldest_ms) : NOTHING], ['Alarm', c.alarm ? mark(c.alarm, 'bad') : 'none']]));
    } else if (s) {
      cache.show(facts([['Waiting', number(s.cache_pending)], ['Log', bytes(s.log_bytes)], ['Notices dropped', bad(s.notices_dropped)], ['Kept until', 'the ledger has confirmed it']]));
    } else {
      cache.empty('No cache here.');
    }
    tier(tiers, links, s?.tier);
    fogOf(fog, s?.fog ?? status.parts?.fog);
    gateway(sn, status.mqttsn);
  };
  return { root, show };
}

const bad = (n) => (n ? mark(number(n), 'warn') : number(n ?? 0));

function tier(panel_, links, t) {
  if (!t) { panel_.empty('This broker stands alone: no broker above it, none below.'); return; }
  const above = t.parent ? [{ id: t.parent, scope: NOTHING, way: 'above', connected: t.connected, queued: t.queued_up }] : [];
  const list = [...above, ...t.links.map((l) => ({ id: l.id, scope: l.scope, way: 'below', connected: l.connected, queued: l.queued }))];
  if (list.length) panel_.show(links.update(list));
  else panel_.empty('Nobody is above or below right now.');
}

function fogOf(panel_, f) {
  if (!f) { panel_.empty('Readings go to the ledger as they come: no pipeline is configured.'); return; }
  panel_.show(facts([
    ['Pipelines', Array.isArray(f.pipelines) ? f.pipelines.length : f.pipelines], ['In', number(f.readings_in)], ['Out', number(f.readings_out ?? f.published)],
    ['Commands', number(f.commands)], ['Behind', f.lag_ms === undefined ? null : ms(f.lag_ms)], ['Waiting', number(f.intake_pending)], ['Stalled', f.stalled ? mark(f.stalled, 'bad') : null],
  ]));
}

function gateway(panel_, g) {
  if (!g) { panel_.empty('No gateway for battery devices here.'); return; }
  panel_.show(facts([['Address', g.address], ['DTLS', g.dtls_address], ['Clients', number(g.clients)], ['Asleep', number(g.asleep)]]));
}
