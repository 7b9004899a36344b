// Nodes and committee: who signs milestones, who may be elected, how this node is.

import { get } from '../api.js';
import { el } from '../element.js';
import { number, span, time } from '../format.js';
import { copyable, facts, head, id, mark, panel, table } from '../parts.js';

export const title = 'Nodes and committee';

const EVERY_MS = 3_000;

export async function show(root, _, life) {
  const here = panel('This node');
  const era = panel('Epoch');
  const all = panel('Validators', { wide: true, note: 'Who has stake and may be elected. The committee of the next epoch is chosen at the closing milestone.' });
  root.append(head('Nodes and committee', 'A milestone needs the signatures of more than two thirds of the committee.'), el('div', { class: 'grid' }, here.root, era.root, all.root));
  const rows = table([
    { title: 'Name', cell: (v) => v.name },
    { title: 'Committee', cell: (v) => (v.in_committee ? mark('member', 'good') : mark('no')) },
    { title: 'Stake', num: true, cell: (v) => number(v.stake) },
    { title: 'Leaving', num: true, cell: (v) => (v.unbonding ? number(v.unbonding) : '–') },
    { title: 'State', cell: (v) => (v.jailed ? mark(`jailed until epoch ${v.jailed_until}`, 'bad') : v.registered ? mark('registered', 'good') : mark('retired')) },
    { title: 'Address', cell: (v) => v.address ?? '–' },
    { title: 'Key', cell: (v) => id(v.key, `#/wallets/${v.key}`) },
  ], (v) => v.key, 'Validators');
  const now = life.every(EVERY_MS, async () => {
    try {
      const [status, committee, epoch, { validators }] = await Promise.all(['/status', '/committee', '/epoch', '/validators'].map((path) => get(path, {}, life.signal)));
      here.show(node(status));
      era.show(present(committee, epoch));
      if (validators.length) all.show(rows.update(validators));
      else all.empty('Nobody is registered.');
    } catch (problem) {
      [here, era, all].forEach((p) => p.fail(problem, now));
    }
  });
}

function node(s) {
  const l = s.ledger;
  return facts([
    ['Name', s.name], ['Site', s.site ?? 'none'], ['Version', s.version], ['Runs for', span(s.uptime_ms)],
    ['Role', l.validator ? 'validator of this epoch' : 'follows'],
    ['Committee', l.cut_off ? mark('cut off', 'bad') : mark('in touch', 'good')],
    ['Peers', number(l.peers)], ['Milestone', `${number(l.height)}, ${time(l.milestone_ms)}`],
    ['Messages', number(l.messages)], ['Readings on the ledger', number(l.readings)], ['On their way', number(l.unconfirmed)],
    ['Refused', number(l.refused)], ['Forks seen', l.equivocations ? mark(number(l.equivocations), 'bad') : '0'],
    ['Key', copyable(s.key)], ['Network', copyable(s.network)],
  ]);
}

function present(c, e) {
  const length = e.parameters.epoch_milestones;
  const done = Math.max(0, Math.min(1, 1 - (e.closing_height - e.height) / length));
  return el('div', null, facts([
    ['Epoch', number(c.epoch)], ['Members', number(c.size)], ['Needed for a milestone', number(c.quorum)],
    ['Ends with milestone', number(c.closing_height)], ['Changes', e.closing_height > e.height ? `in ${number(e.closing_height - e.height)} milestones` : 'now'],
    ['Who', c.members.map((m) => m.name).join(', ')],
  ]), el('div', { class: 'pad' }, el('progress', { max: '1', value: done.toFixed(3), 'aria-label': 'How far the epoch is' })));
}
