// What the live DAG holds, and the stream that feeds it. No browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Graph, PAUSE_MAX_MS } from '../../crates/node/assets/console/js/dag/graph.js';
import { parser } from '../../crates/node/assets/console/js/events.js';

const id = (n) => n.toString(16).padStart(64, '0');
const message = (n, parents = [], time = n * 10) => ({ id: id(n), issuer: `node${n % 4}`, parents: parents.map(id), kind: 'readings', votes: 0, issued_at_ms: time, sampled: 1 });

test('a milestone confirms the past cone of what it names', () => {
  const graph = new Graph();
  [message(1), message(2, [1]), message(3, [1]), message(4, [2]), message(5, [3])].forEach((m) => graph.add(m, 0));
  assert.equal(graph.tips(), 2);
  assert.equal(graph.confirm({ height: 7, messages: 3, ids: [id(4)] }, 100, 400), 3);
  assert.deepEqual([1, 2, 3, 4, 5].map((n) => graph.vertices.get(id(n)).height), [7, 7, null, 7, null]);
  const [first, last] = [1, 4].map((n) => graph.vertices.get(id(n)).confirmedAt);
  assert.deepEqual([first, last], [100, 500], 'from left to right');
  assert.equal(graph.tips(), 1);
  assert.equal(graph.confirm({ height: 8, messages: 1, ids: [id(4), id(99)] }, 200, 400), 0, 'once, and only what is here');
});

test('it holds so many messages and no more', () => {
  const graph = new Graph(50);
  for (let n = 1; n <= 500; n += 1) graph.add(message(n, n > 1 ? [n - 1] : []), n);
  assert.equal(graph.vertices.size, 50);
  assert.deepEqual(graph.latest(2).map((v) => v.id), [id(500), id(499)]);
  assert.equal(graph.add(message(500), 0), null, 'twice is once');
  for (let n = 0; n < 2_000; n += 1) graph.confirm({ height: n, messages: 0, ids: [] }, n, 0);
  assert.ok(graph.milestones.length <= 400);
});

test('a pause is shortened, and what comes late stands where it belongs', () => {
  const graph = new Graph();
  const at = (m) => graph.add(m, 0).at;
  const first = at(message(1, [], 1_000));
  assert.equal(at(message(2, [], 1_100)) - first, 100);
  assert.equal(at(message(3, [], 61_100)) - first, 100 + PAUSE_MAX_MS);
  assert.equal(at(message(4, [], 61_050)) - first, 50 + PAUSE_MAX_MS);
});

test('a stream is taken apart wherever it is cut', () => {
  const text = ': hello\n\nevent: milestone\nid: 7\ndata: {"height":1}\n\nid: 8\r\nevent: message\r\ndata: a\r\ndata: b\r\n\r\nevent: empty\n\n';
  for (let cut = 1; cut < text.length; cut += 1) {
    const heard = [];
    const parse = parser((...event) => heard.push(event));
    for (let at = 0; at < text.length; at += cut) assert.ok(parse(text.slice(at, at + cut)));
    assert.deepEqual(heard, [['milestone', '7', '{"height":1}'], ['message', '8', 'a\nb']], `pieces of ${cut}`);
  }
  assert.ok(!parser(() => {})('x'.repeat(2 << 20)), 'a line without an end');
});
