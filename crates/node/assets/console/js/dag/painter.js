// Paints a graph on a canvas: lanes from top to bottom, time from left to right, the newest at the right edge.

import { colour } from '../theme.js';
import { Graph, PAUSE_MAX_MS } from './graph.js';

/** Room for the names of lanes and the numbers of milestones, in px. */
const [TOP, BOTTOM, RIGHT] = [16, 24, 32];
/** A message grows to its size within so many ms. */
const GROW_MS = 220;
/** How long a milestone's line is seen to sweep, in ms. */
export const SWEEP_MS = 420;
/** From so many messages on in sight, only two parents of each are drawn. */
const CROWD = 700;
const ZOOM = [0.008, 1.5];

export class Painter {
  constructor(canvas, graph) {
    this.canvas = canvas;
    this.graph = graph;
    this.scale = 0.12; // px per ms of shown time
    this.back = 0; // how far the right edge is behind the newest, in ms
    this.edge = 0; // the shown time of the right edge
    this.selected = null;
    this.calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.drawn = 0;
    this.colours();
  }

  /** Takes the colours of the style sheet anew. */
  colours() {
    this.c = Object.fromEntries(['dag-edge', 'dag-pending', 'accent', 'blossom', 'muted', 'line', 'text', 'bad'].map((name) => [name, colour(name)]));
    this.glow = this.sprite(this.c.blossom);
  }

  sprite(tint) {
    const size = 32;
    const glow = Object.assign(document.createElement('canvas'), { width: size, height: size });
    const context = glow.getContext('2d');
    const shade = context.createRadialGradient(size / 2, size / 2, 0, size / 2, size / 2, size / 2);
    shade.addColorStop(0, tint);
    shade.addColorStop(0.35, tint);
    shade.addColorStop(1, 'transparent');
    context.globalAlpha = 0.5;
    context.fillStyle = shade;
    context.fillRect(0, 0, size, size);
    return glow;
  }

  /** Fits the canvas to its box. */
  fit() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      [this.canvas.width, this.canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    }
    [this.width, this.height, this.ratio] = [width, height, ratio];
  }

  x(at) { return this.width - RIGHT - (this.edge - at) * this.scale; }

  y(vertex) {
    const lanes = Math.max(1, Math.min(this.graph.lanes.size, 16));
    const room = (this.height - TOP - BOTTOM) / lanes;
    return TOP + room * (vertex.lane + 0.5 + vertex.high * 0.3);
  }

  /** Zooms by a factor about a place of the canvas. */
  zoom(factor, x = this.width - RIGHT) {
    const before = this.edge - (this.width - RIGHT - x) / this.scale;
    this.scale = Math.min(Math.max(this.scale * factor, ZOOM[0]), ZOOM[1]);
    const after = this.edge - (this.width - RIGHT - x) / this.scale;
    if (this.back > 0) this.pan((before - after) * this.scale * -1);
  }

  /** Moves what is seen by so many px to the right; at the newest it follows again. */
  pan(px) {
    this.back = Math.max(0, this.back + px / this.scale);
  }

  /** The message nearest to a place, if one is near. */
  near(x, y) {
    let best = null;
    let least = 18 * 18;
    for (const v of this.graph.vertices.values()) {
      const distance = (this.x(v.at) - x) ** 2 + (this.y(v) - y) ** 2;
      if (distance < least) [best, least] = [v, distance];
    }
    return best;
  }

  /** One picture. `now` is the page's clock, `server` what the ledger's clock may show. */
  draw(now, server) {
    this.fit();
    const context = this.canvas.getContext('2d');
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const { newest } = this.graph;
    const idle = newest.time === null ? 0 : Math.max(0, Math.min(server - newest.time, PAUSE_MAX_MS));
    const wanted = newest.at + idle - this.back;
    // glides instead of jumping when messages arrive in gusts
    this.edge = this.calm || Math.abs(wanted - this.edge) > 4_000 ? wanted : this.edge + (wanted - this.edge) * 0.2;
    const seen = [];
    const low = this.edge - (this.width - RIGHT) / this.scale - 50 / this.scale;
    const high = this.edge + RIGHT / this.scale;
    for (const v of this.graph.vertices.values()) if (v.at >= low && v.at <= high + 400) seen.push(v);
    this.lanes(context);
    this.lines(context, now, low);
    this.edges(context, seen, now);
    this.dots(context, seen, now);
    this.chosen(context);
    this.drawn = seen.length;
  }

  lanes(context) {
    context.font = '12px system-ui, sans-serif';
    context.textBaseline = 'alphabetic';
    context.lineWidth = 1;
    const lanes = Math.max(1, Math.min(this.graph.lanes.size, 16));
    const room = (this.height - TOP - BOTTOM) / lanes;
    for (const { index, name } of this.graph.lanes.values()) {
      const y = TOP + room * index;
      context.strokeStyle = this.c.line;
      context.beginPath();
      context.moveTo(0, Math.round(y) - 0.5);
      context.lineTo(this.width, Math.round(y) - 0.5);
      if (index > 0) context.stroke();
      if (name) {
        context.fillStyle = this.c.muted;
        context.fillText(name, 12, y + 14);
      }
    }
  }

  lines(context, now, low) {
    let free = Infinity;
    for (let i = this.graph.milestones.length - 1; i >= 0; i -= 1) {
      const m = this.graph.milestones[i];
      if (m.at < low) break;
      const x = this.x(m.at) + 6;
      const age = now - m.began;
      if (!this.calm && age < SWEEP_MS) {
        const at = this.x(m.from + ((m.at - m.from) * age) / SWEEP_MS);
        context.globalAlpha = 0.55 * (1 - age / SWEEP_MS) + 0.15;
        context.fillStyle = this.c.accent;
        context.fillRect(at - 1, TOP, 2, this.height - TOP - BOTTOM);
        context.globalAlpha = 1;
      }
      if (x > free - 56) continue;
      free = x;
      context.globalAlpha = 0.45;
      context.strokeStyle = this.c.accent;
      context.beginPath();
      context.moveTo(Math.round(x) + 0.5, this.height - BOTTOM);
      context.lineTo(Math.round(x) + 0.5, this.height - BOTTOM + 6);
      context.stroke();
      context.globalAlpha = 1;
      context.fillStyle = this.c.muted;
      context.textAlign = 'center';
      context.fillText(`#${m.height}`, x, this.height - 6);
      context.textAlign = 'start';
    }
  }

  edges(context, seen, now) {
    const most = seen.length > CROWD ? 2 : 8;
    const [pending, confirmed] = [new Path2D(), new Path2D()];
    for (const v of seen) {
      const [x, y] = [this.x(v.at), this.y(v)];
      const path = v.confirmedAt <= now ? confirmed : pending;
      for (let i = 0; i < v.parents.length && i < most; i += 1) {
        const parent = this.graph.vertices.get(v.parents[i]);
        if (!parent) continue;
        path.moveTo(x, y);
        path.lineTo(this.x(parent.at), this.y(parent));
      }
    }
    context.lineWidth = 1;
    context.strokeStyle = this.c['dag-edge'];
    context.globalAlpha = seen.length > CROWD ? 0.45 : 0.9;
    context.stroke(pending);
    context.strokeStyle = this.c.accent;
    context.globalAlpha = seen.length > CROWD ? 0.12 : 0.26;
    context.stroke(confirmed);
    context.globalAlpha = 1;
  }

  dots(context, seen, now) {
    const size = Math.max(1.6, Math.min(5, 1.6 + this.scale * 16)) * (seen.length > CROWD ? 0.75 : 1);
    const paths = { pending: new Path2D(), confirmed: new Path2D(), tips: new Path2D() };
    const breath = this.calm ? 1 : 0.75 + 0.25 * Math.sin(now / 280);
    for (const v of seen) {
      const [x, y] = [this.x(v.at), this.y(v)];
      const grown = this.calm ? 1 : Math.min(1, (now - v.born) / GROW_MS);
      const r = size * (0.3 + 0.7 * grown) * (v.kind === 'readings' ? 1.15 : 1);
      const tip = Graph.tip(v);
      if (tip) {
        const glow = r * 7 * breath;
        context.drawImage(this.glow, x - glow / 2, y - glow / 2, glow, glow);
      }
      const path = tip ? paths.tips : v.confirmedAt <= now ? paths.confirmed : paths.pending;
      path.moveTo(x + r, y);
      path.arc(x, y, r, 0, Math.PI * 2);
    }
    for (const [name, tint] of [['pending', 'dag-pending'], ['confirmed', 'accent'], ['tips', 'blossom']]) {
      context.fillStyle = this.c[tint];
      context.fill(paths[name]);
    }
  }

  chosen(context) {
    const v = this.selected && this.graph.vertices.get(this.selected);
    if (!v) return;
    const [x, y] = [this.x(v.at), this.y(v)];
    context.strokeStyle = this.c.text;
    context.lineWidth = 1.5;
    for (const id of v.parents) {
      const parent = this.graph.vertices.get(id);
      if (!parent) continue;
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(this.x(parent.at), this.y(parent));
      context.stroke();
    }
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, 9, 0, Math.PI * 2);
    context.stroke();
  }
}
