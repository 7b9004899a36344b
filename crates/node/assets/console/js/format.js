// How numbers, times, names and amounts are written.

const whole = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 1 });
const value = new Intl.NumberFormat('en-GB', { maximumSignificantDigits: 7 });
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** Sub-units of a DCoin. */
export const UNITS_PER_COIN = 1_000_000n;
/** What stands where nothing is known. */
export const NOTHING = '–';

/** A count, or a rate. */
export function number(n) {
  if (n === null || n === undefined || Number.isNaN(n)) return NOTHING;
  return Math.abs(n) < 100 && !Number.isInteger(n) ? fine.format(n) : whole.format(n);
}

/** A duration in milliseconds. */
export function ms(n) {
  if (n === null || n === undefined) return NOTHING;
  if (n >= 10_000) return `${number(n / 1000)} s`;
  return `${n < 10 ? fine.format(n) : whole.format(n)} ms`;
}

/** So many milliseconds, in the largest unit that is at least one. */
export function span(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  for (const [size, unit] of [[86_400, 'd'], [3_600, 'h'], [60, 'min']]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${seconds} s`;
}

/** Bytes. */
export function bytes(n) {
  if (n === null || n === undefined) return NOTHING;
  for (const [size, unit] of [[2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB']]) {
    if (n >= size) return `${fine.format(n / size)} ${unit}`;
  }
  return `${n} bytes`;
}

/** A time in milliseconds since 1970: the clock, with the day if it is another. */
export function time(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return NOTHING;
  const date = new Date(milliseconds);
  const today = new Date().toDateString() === date.toDateString();
  return today ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`;
}

/** The beginning of an id or key. */
export function short(id) {
  return id && id.length > 12 ? `${id.slice(0, 10)}…` : (id ?? NOTHING);
}

/** The value of a reading, with its unit. */
export function reading(r) {
  const unit = r.unit ? ` ${r.unit}` : '';
  const v = r.value;
  if (typeof v === 'number') return `${value.format(v)}${unit}`;
  if (typeof v === 'boolean') return v ? 'true' : 'false';
  if (typeof v === 'string') return `“${v.length > 40 ? `${v.slice(0, 40)}…` : v}”`;
  return v?.base64url !== undefined ? `${Math.floor((v.base64url.length * 3) / 4)} bytes` : NOTHING;
}

/** Sub-units as DCoin. */
export function coins(units) {
  if (units === null || units === undefined) return NOTHING;
  const all = BigInt(units);
  const rest = String(all % UNITS_PER_COIN).padStart(6, '0').replace(/0+$/, '');
  return `${whole.format(all / UNITS_PER_COIN)}${rest ? `.${rest}` : ''} DCoin`;
}

/** Sub-units that a person typed as DCoin; null if it is no amount. */
export function units(text) {
  const match = /^(\d{1,13})(?:\.(\d{1,6}))?$/.exec(text.trim());
  return match ? BigInt(match[1]) * UNITS_PER_COIN + BigInt((match[2] ?? '').padEnd(6, '0')) : null;
}

/** The parts of a topic `site/device/direction/type`; a site may have several levels. */
export function topic(text) {
  const parts = text.split('/');
  const [device, direction, type] = parts.slice(-3);
  return { site: parts.slice(0, -3).join('/'), device, direction, type };
}
