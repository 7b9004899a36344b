// Curves: uPlot for those with axes, a few points of SVG for the small ones.

import { el, svg } from './element.js';
import { number, time } from './format.js';
import { colour } from './theme.js';

const HEIGHT = 208;
/** The shortest time that an axis shows, in seconds. */
const SPAN_MIN_S = 60;

/** Curves over time. `series`: [{ label, colour }]; `said` describes them to those who do not see them. */
export function curves({ series, said, signal, height = HEIGHT, points = false }) {
  const box = el('div', { class: 'chart', role: 'img', 'aria-label': said });
  let plot = null;
  let data = [[], ...series.map(() => [])];
  const build = () => {
    const width = box.clientWidth;
    if (!width || !window.uPlot) return;
    plot?.destroy();
    const [muted, line] = [colour('muted'), colour('line')];
    const axis = { stroke: muted, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: '12px system-ui, sans-serif' };
    plot = new window.uPlot({
      width,
      height,
      padding: [8, 24, 0, 0],
      cursor: { y: false, drag: { x: false, y: false } },
      legend: { live: true },
      scales: { x: { range: (_, low, high) => [Math.min(low, high - SPAN_MIN_S), high] }, y: { range: (_, low, high) => bounds(low, high) } },
      axes: [{ ...axis, space: 96, values: (_, ticks) => labels(ticks) }, { ...axis, size: 56, values: (_, ticks) => ticks.map(number) }],
      series: [
        { label: 'At', value: (_, v) => (v === null || v === undefined ? '–' : time(v * 1000)) },
        ...series.map((s) => ({
          label: s.label,
          stroke: colour(s.colour),
          width: 2,
          points: { show: points, size: 5 },
          dash: s.dash,
          value: (_, v) => number(v),
        })),
      ],
    }, data, box);
    last();
  };
  // without a pointer the legend tells the newest values
  const last = () => { if (plot && data[0].length && (plot.cursor.idx ?? null) === null) plot.setLegend({ idx: data[0].length - 1 }); };
  const resized = new ResizeObserver(() => {
    if (!box.isConnected) return;
    if (plot && plot.width === box.clientWidth) return;
    build();
  });
  resized.observe(box);
  window.addEventListener('wattle-theme', build, { signal });
  signal.addEventListener('abort', () => { resized.disconnect(); plot?.destroy(); }, { once: true });
  const show = (next, words) => {
    data = next;
    if (words) box.setAttribute('aria-label', words);
    if (plot) {
      plot.setData(data);
      last();
    } else {
      build();
    }
  };
  return { box, show };
}

const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const exact = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** Times of an axis, as short as they differ. */
function labels(ticks) {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : 60;
  const format = step >= 43_200 ? day : step >= 60 ? clock : exact;
  return ticks.map((t) => (Number.isInteger(t) ? format.format(t * 1000) : ''));
}

function bounds(low, high) {
  if (low === null || high === null || low === undefined) return [0, 1];
  const room = Math.max((high - low) * 0.1, Math.abs(high) * 0.02, 0.5);
  return [low >= 0 && low < (high - low) * 3 + 1 ? 0 : low - room, high + room];
}

/** A curve as small as a word. */
export function spark(values, width = 96, height = 24) {
  const numbers = values.filter((v) => typeof v === 'number');
  if (numbers.length < 2) return el('span', { class: 'faint' }, '·');
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const x = (i) => 2 + (i / (numbers.length - 1)) * (width - 4);
  const y = (v) => (high === low ? height / 2 : height - 3 - ((v - low) / (high - low)) * (height - 6));
  const points = numbers.map((v, i) => `${x(i).toFixed(1)},${y(v).toFixed(1)}`).join(' ');
  const end = numbers.length - 1;
  return svg('svg', { class: 'spark', width, height, viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true' },
    svg('polyline', { points }),
    svg('circle', { cx: x(end).toFixed(1), cy: y(numbers[end]).toFixed(1), r: 2 }));
}
