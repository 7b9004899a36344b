// What the live DAG shows: the newest messages, who names whom, which are tips, which are confirmed. No painting here.
//
// Rules
// - At most `capacity` messages are held; the oldest go first.
// - A milestone that confirms a message confirms its past cone: so it is enough to be told of some of its messages.
// - Places are in *shown time*: like the messages' own, with pauses longer than PAUSE_MAX_MS cut to that.

export const PAUSE_MAX_MS = 400;
/** Lanes, one an issuer; more issuers share. */
export const LANES_MAX = 16;
/** Milestones that are remembered for their lines. */
const MILESTONES_MAX = 400;

/** How high in its lane a message sits, from -1 to 1: by its id, so that it is the same for everybody. */
const height = (id) => (parseInt(id.slice(0, 4), 16) / 0xffff) * 2 - 1;

export class Graph {
  constructor(capacity = 2_000) {
    this.capacity = capacity;
    this.vertices = new Map();
    this.lanes = new Map();
    this.milestones = [];
    this.newest = { time: null, at: 0 };
    this.seen = 0;
    this.sampled = 1;
  }

  /** Where a time of the ledger is in shown time. */
  place(time) {
    if (this.newest.time === null) this.newest = { time, at: 0 };
    const step = Math.max(-PAUSE_MAX_MS * 8, Math.min(time - this.newest.time, PAUSE_MAX_MS));
    const at = this.newest.at + step;
    if (time > this.newest.time) this.newest = { time, at };
    return at;
  }

  /** Takes a message; `now` is the page's clock in ms. Gives its vertex, or null if it is here. */
  add(message, now) {
    if (this.vertices.has(message.id)) return null;
    if (!this.lanes.has(message.issuer)) this.lanes.set(message.issuer, { index: this.lanes.size % LANES_MAX, name: message.issuer_name ?? null });
    const vertex = {
      id: message.id,
      issuer: message.issuer,
      lane: this.lanes.get(message.issuer).index,
      time: message.issued_at_ms,
      at: this.place(message.issued_at_ms),
      high: height(message.id),
      parents: message.parents ?? [],
      children: 0,
      kind: message.kind ?? message.body,
      votes: message.votes ?? 0,
      height: null,
      confirmedAt: Infinity,
      born: now,
    };
    this.vertices.set(message.id, vertex);
    this.seen += 1;
    this.sampled = message.sampled ?? 1;
    for (const parent of vertex.parents) {
      const named = this.vertices.get(parent);
      if (named) named.children += 1;
    }
    while (this.vertices.size > this.capacity) this.vertices.delete(this.vertices.keys().next().value);
    return vertex;
  }

  /** Takes a milestone: what it names, and their past cones, become confirmed from left to right within `sweep` ms. */
  confirm(milestone, now, sweep) {
    const fresh = [];
    const todo = (milestone.ids ?? []).slice();
    while (todo.length) {
      const vertex = this.vertices.get(todo.pop());
      if (!vertex || vertex.height !== null) continue;
      vertex.height = milestone.height;
      fresh.push(vertex);
      todo.push(...vertex.parents);
    }
    const [first, last] = fresh.reduce(([low, high], v) => [Math.min(low, v.at), Math.max(high, v.at)], [Infinity, -Infinity]);
    for (const v of fresh) v.confirmedAt = now + (last > first ? (sweep * (v.at - first)) / (last - first) : 0);
    const at = fresh.length ? last : this.newest.at;
    this.milestones.push({ height: milestone.height, at, from: fresh.length ? first : at, began: now, count: milestone.messages });
    if (this.milestones.length > MILESTONES_MAX) this.milestones.shift();
    return fresh.length;
  }

  /** Whether nobody named a message yet. One that is confirmed is no tip to look for. */
  static tip(vertex) {
    return vertex.children === 0 && vertex.height === null;
  }

  /** The newest messages, the newest first. */
  latest(count) {
    return [...this.vertices.values()].slice(-count).reverse();
  }

  /** How many tips are held. */
  tips() {
    let tips = 0;
    for (const vertex of this.vertices.values()) if (Graph.tip(vertex)) tips += 1;
    return tips;
  }
}
