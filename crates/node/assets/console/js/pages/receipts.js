// Receipts: find one, or check a file that somebody gave you.

import { el } from '../element.js';
import { copyable, facts, field, head, panel } from '../parts.js';
import { check, verdictBox } from '../receipt.js';
import { trustFile, trustId, trustNode, trusted } from '../trust.js';

export const title = 'Receipts';

/** Bytes of a file that is read here; the node's limit may be lower. */
const FILE_BYTES_MAX = 8 << 20;

export async function show(root, _, life) {
  const find = panel('Find a reading', { note: 'By its id, or as site/device/sense/type@time, the time in microseconds since 1970.' });
  const name = el('input', { type: 'text', required: true, spellcheck: 'false', autocomplete: 'off' });
  find.show(el('form', { onsubmit: (event) => {
    event.preventDefault();
    location.hash = `#/reading/${name.value.trim()}`;
  } }, el('div', { class: 'inline' }, field('Reading', name), el('button', { class: 'main', type: 'submit' }, 'Show'))));

  const test = panel('Check a receipt', { note: 'Choose a receipt file, or paste its text. It may be of any reading of this network.', wide: true });
  const file = el('input', { type: 'file', accept: '.json,application/json' });
  const pasted = el('textarea', { spellcheck: 'false', rows: '5' });
  const answer = el('div', { 'aria-live': 'polite', 'data-verdict': '' });
  const verify = async () => {
    const given = file.files[0] ? await bounded(file.files[0]) : pasted.value.trim();
    if (given.length === 0) { answer.replaceChildren(verdictBox(false, 'Nothing to check', 'Choose a file, or paste the text of a receipt.')); return; }
    const { box, steps } = await check(given, life.signal);
    answer.replaceChildren(box, ...(steps ? [steps] : []));
  };
  file.addEventListener('change', () => { pasted.value = ''; });
  pasted.addEventListener('input', () => { file.value = ''; });
  test.show(el('form', { onsubmit: (event) => { event.preventDefault(); void verify(); } },
    field('Receipt file', file), field('Or its text', pasted), el('button', { class: 'main', type: 'submit' }, 'Check')), answer);
  root.append(head('Receipts', 'A receipt proves, to anybody and offline, what a device said, when, and who confirmed it.'), el('div', { class: 'grid' }, find.root, trust(life), test.root));
}

/** What receipts are checked against, and another choice. */
function trust(life) {
  const shown = panel('What is trusted', { note: 'A verdict rests on a genesis: it names the committee that everything else follows from. To rely on no node, give the genesis, or its network id, that you have from an operator you trust.' });
  const now = el('div', { 'aria-live': 'polite', 'data-trust': '' });
  const file = el('input', { type: 'file', accept: '.json,application/json' });
  const id = el('input', { type: 'text', spellcheck: 'false', autocomplete: 'off' });
  const say = async () => {
    try {
      const { genesis, because } = await trusted(life.signal);
      now.replaceChildren(facts([['Network', genesis.name], ['Network id', copyable(genesis.id)], ['The genesis', because]]));
    } catch (problem) {
      if (problem.name !== 'AbortError') now.replaceChildren(verdictBox(false, problem.title ?? 'Not known', problem.message));
    }
  };
  const choose = async (act) => {
    try {
      await act();
      await say();
    } catch (problem) {
      now.replaceChildren(verdictBox(false, problem.title ?? 'Not taken', problem.message));
    }
  };
  const use = async () => {
    if (file.files[0]) trustFile(file.files[0].name, await bounded(file.files[0]));
    else trustId(id.value.trim());
  };
  file.addEventListener('change', () => { id.value = ''; });
  id.addEventListener('input', () => { file.value = ''; });
  shown.show(now, el('form', { onsubmit: (event) => { event.preventDefault(); void choose(use); } },
    field('Genesis file', file), field('Or a network id', id), el('div', { class: 'row' },
      el('button', { class: 'main', type: 'submit' }, 'Trust this'),
      el('button', { type: 'button', onclick: () => { file.value = ''; id.value = ''; void choose(trustNode); } }, 'Trust the node’s'))));
  void say();
  return shown.root;
}

/** A file's bytes; none if it is too large. */
async function bounded(file) {
  return new Uint8Array(file.size <= FILE_BYTES_MAX ? await file.arrayBuffer() : 0);
}
