// Numbers and names in; text for the reader, and ticks of axes, out.

const UNITS = [["ns", 1], ["µs", 1e3], ["ms", 1e6], ["s", 1e9]];

// A duration with three significant digits, in the unit that fits.
function duration(ns) {
  if (ns === null || ns === undefined || Number.isNaN(ns)) return "–";
  const size = Math.abs(ns);
  if (size < 999.5) return `${Math.round(ns)} ns`;
  const [unit, scale] = UNITS.find(([, s], i) => i > 0 && size < 999.5 * s) ?? UNITS[3];
  return `${significant(ns / scale)} ${unit}`;
}

function significant(value) {
  const size = Math.abs(value);
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  if (size >= 0.9995 || size === 0) return value.toFixed(2);
  return String(Number(value.toPrecision(3)));
}

// A point in time since the start, with as many digits as a step between neighbouring points needs.
function moment(ns, step = 1e6) {
  const digits = Math.min(9, Math.max(0, Math.ceil(9 - Math.log10(step))));
  const seconds = ns / 1e9;
  if (Math.abs(seconds) < 60) return `${seconds.toFixed(digits)} s`;
  const sign = seconds < 0 ? "−" : "", whole = Math.abs(seconds);
  const h = Math.floor(whole / 3600), m = Math.floor(whole / 60) % 60;
  const s = (whole % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return sign + (h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`);
}

function count(value) {
  return Math.round(value).toLocaleString("en-GB").replaceAll(",", "\u202f");
}

function percent(share, digits = 1) {
  return share === null || Number.isNaN(share) ? "–" : `${(100 * share).toFixed(digits)} %`;
}

function bytes(value) {
  return `${significant(value / 1e6)} MB`;
}

// A figure in its unit. schedtel.analysis.timeline defines the units.
function inUnit(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const texts = { ns: duration, bytes, "1/s": (v) => `${significant(v)}/s`, 1: (v) => v.toFixed(3) };
  return (texts[unit] ?? ((v) => `${significant(v)} ${unit}`))(value);
}

// The wall clock; null for an imported trace without it.
function wallClock(us) {
  return us === null ? "not known" : new Date(us / 1000).toISOString().replace("T", " ").replace("Z", " UTC");
}

// Ticks at multiples of 1, 2 or 5 times a power of ten.
function niceTicks(low, high, wanted) {
  const span = high - low || 1, raw = span / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(k * step);
  return { ticks, step };
}

// Ticks of time: short steps like those of numbers, from a minute on whole minutes, hours or days.
function timeTicks(low, high, wanted) {
  const steps = [60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400].map((s) => s * 1e9);
  const raw = (high - low) / Math.max(1, wanted);
  const step = raw > 30e9 ? steps.find((s) => s >= raw) ?? steps.at(-1) * Math.ceil(raw / steps.at(-1)) : null;
  if (!step) return niceTicks(low, high, wanted);
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(k * step);
  return { ticks, step };
}

// Ticks at powers of ten, for nanoseconds.
function decadeTicks(low, high) {
  const ticks = [];
  for (let d = Math.ceil(Math.log10(low) - 1e-9); 10 ** d <= high * 1.0001; d++) ticks.push(10 ** d);
  return ticks;
}

// Characters that are no glyph of their own: controls, those that turn the direction of text, invisible ones, blanks
// other than those of this page (the two that do not break). The same as Printable of foreign_text.py escapes, but for
// what only a terminal shows in a width of its own.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{DI}\u2800]|(?![ \u00a0\u202f])\p{Zs}/gu;
const SHORT = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

// Text that may contain names of other users, with such characters escaped as \x1b or \u202e.
function printable(text) {
  return /^[ -~]*$/.test(text) ? String(text) : String(text).replace(UNSEEN, escaped);
}

function escaped(character) {
  const code = character.codePointAt(0), hex = (number, digits) => number.toString(16).padStart(digits, "0");
  if (code < 0x80) return SHORT[character] ?? `\\x${hex(code, 2)}`;
  if (code >= 0xdc80 && code <= 0xdcff) return `\\x${hex(code - 0xdc00, 2)}`; // a byte that is no UTF-8
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}
