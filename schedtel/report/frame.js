// The frame of every chart: its element, axes, a cursor that all time charts share, a brush to zoom, keys, a tooltip.

// The page contains no URL, not even that of the SVG namespace, which the parser knows.
const SVG = document.getElementById("svg").namespaceURI;

// Every text of the page goes through here, names of other users among them: none is markup, all are printable.
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "text") node.textContent = printable(value);
    else if (name === "colour") node.style.background = value;
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, printable(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined).map((child) => (child instanceof Node ? child : printable(child))));
  return node;
}
const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const tip = {
  node: document.getElementById("tip"),
  show(x, y, title, lines, losses = []) {
    const rows = lines.map(([label, value, colour]) =>
      h("tr", {}, h("td", {}, colour ? h("span", { class: "key", colour }) : null, ` ${label}`), h("td", { text: value })));
    const lost = losses.map(([name, n]) => h("div", { class: "bad", text: `lost: ${count(n)} ${name}` }));
    this.node.replaceChildren(h("div", { class: "when", text: title }), h("table", {}, h("tbody", {}, ...rows)), ...lost);
    this.node.hidden = false;
    const box = this.node.getBoundingClientRect();
    const left = x + 16 + box.width > innerWidth ? x - box.width - 16 : x + 16;
    this.node.style.left = `${Math.max(4, left)}px`;
    this.node.style.top = `${Math.max(4, Math.min(y + 14, innerHeight - box.height - 4))}px`;
  },
  hide() { this.node.hidden = true; },
};

function speak(text) {
  document.getElementById("spoken").textContent = printable(text);
}

const MARGIN = { left: 58, right: 14, top: 8, bottom: 22 };
const charts = [];

// A chart. draw(chart) draws it, read(value, y) returns the content of the tooltip at a position. Charts with `time`
// share the time axis and the cursor.
class Chart {
  constructor({ height, label, draw, read, time = true, step = null, canvas = false, recordings = RECORDINGS }) {
    Object.assign(this, { height, draw, read, time, step, recordings, cursor: null, row: null });
    this.svg = s("svg", { height, "aria-hidden": "true" });
    this.canvas = canvas ? h("canvas") : null;
    const keys = time ? "Arrow keys move, plus and minus zoom, 0 shows all." : "Arrow keys move.";
    this.node = h("div", { class: "chart", tabindex: "0", role: "application", "aria-label": `${label}. ${keys}` });
    this.node.append(...(this.canvas ? [this.canvas] : []), this.svg);
    this.listen();
    charts.push(this);
    new ResizeObserver(() => this.render()).observe(this.node);
  }

  listen() {
    const on = (name, act) => this.node.addEventListener(name, act);
    on("pointermove", (e) => this.onMove(e));
    on("pointerleave", () => { if (!this.drag) this.leave(); });
    on("pointerdown", (e) => this.onDown(e));
    on("pointerup", (e) => this.onUp(e));
    on("pointercancel", () => { this.drag = null; this.render(); });
    on("dblclick", () => { if (this.time) view.show(...WHOLE); });
    on("keydown", (e) => this.onKey(e));
    on("blur", () => this.leave());
  }

  get plot() {
    const width = this.node.clientWidth || 600;
    return { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: this.height - MARGIN.bottom, width };
  }

  // Value ⇄ pixel on the x axis. The draw() of a chart without `time` sets its `domain`.
  get range() { return this.time ? view.range : this.domain; }
  x(value) {
    const { left, right } = this.plot, [a, b] = this.range;
    return left + ((value - a) / (b - a)) * (right - left);
  }
  value(pixel) {
    const { left, right } = this.plot, [a, b] = this.range;
    return a + ((Math.min(right, Math.max(left, pixel)) - left) / (right - left)) * (b - a);
  }
  // Value → pixel on a linear y axis from `low` to `high`.
  y(value, [low, high]) {
    const { top, bottom } = this.plot;
    return bottom - ((value - low) / (high - low || 1)) * (bottom - top);
  }

  render() {
    this.svg.replaceChildren();
    this.draw(this);
    if (this.time) this.timeAxis();
    this.overlay = this.svg.appendChild(s("g"));
    this.drawCursor();
  }

  timeAxis() {
    const { left, right, bottom, width } = this.plot;
    const { ticks, step } = timeTicks(...view.range, Math.min(10, width / 90));
    for (const t of ticks) {
      this.svg.append(s("line", { class: "axis", x1: this.x(t), x2: this.x(t), y1: bottom, y2: bottom + 4 }),
        s("text", { x: this.x(t), y: bottom + 16, "text-anchor": "middle", text: moment(t, step) }));
    }
    this.svg.append(s("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
    this.marks(bottom);
  }

  // Mark the bins with losses below the time axis.
  marks(bottom) {
    for (const recording of this.recordings) {
      const [first, last] = recording.within(view.range);
      const lost = Object.values(recording.lost);
      for (let i = first; i < last && lost.length; i++) {
        if (!lost.some((counts) => counts[i])) continue;
        const x1 = Math.max(this.plot.left, this.x(recording.start[i]));
        const x2 = Math.min(this.plot.right, Math.max(x1 + 2, this.x(recording.end[i])));
        this.svg.append(s("line", { class: "lost", x1, x2, y1: bottom + 1.5, y2: bottom + 1.5 }));
      }
    }
  }

  valueAxis(domain, text, wanted = 4) {
    const { left, right } = this.plot;
    for (const v of niceTicks(...domain, wanted).ticks) {
      const y = this.y(v, domain);
      this.svg.append(s("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }),
        s("text", { x: left - 7, y: y + 4, "text-anchor": "end", text: text(v) }));
    }
  }

  drawCursor() {
    if (!this.overlay) return;
    this.overlay.replaceChildren();
    const { top, bottom } = this.plot;
    if (this.drag?.moved) {
      const [a, b] = [this.drag.from, this.drag.to].sort((p, q) => p - q);
      this.overlay.append(s("rect", { class: "brush", x: a, width: b - a, y: top, height: bottom - top }));
    }
    const [from, to] = this.range ?? [0, 0];
    if (this.cursor === null || this.cursor < from || this.cursor > to) return;
    const x = this.x(this.cursor);
    this.overlay.append(s("line", { class: "cursor", x1: x, x2: x, y1: top, y2: bottom }));
    if (this.row !== null) this.overlay.append(s("line", { class: "cursor", x1: MARGIN.left, x2: this.plot.right, y1: this.row, y2: this.row }));
  }

  pointTo(value, row, clientX, clientY) {
    for (const chart of this.time ? charts.filter((c) => c.time) : [this]) {
      chart.cursor = value;
      chart.row = chart === this && this.step ? row : null;
      chart.drawCursor();
    }
    const reading = this.read(value, row);
    if (!reading) return tip.hide();
    tip.show(clientX, clientY, reading.title, reading.lines, reading.losses);
    return reading;
  }

  leave() {
    tip.hide();
    for (const chart of charts) { chart.cursor = chart.row = null; chart.drawCursor(); }
  }

  position(e) {
    const box = this.node.getBoundingClientRect();
    return [e.clientX - box.left, e.clientY - box.top];
  }

  onMove(e) {
    const [px, py] = this.position(e);
    if (this.drag) {
      this.drag.to = Math.min(this.plot.right, Math.max(this.plot.left, px));
      this.drag.moved ||= Math.abs(this.drag.to - this.drag.from) > 5;
    }
    this.pointTo(this.value(px), py, e.clientX, e.clientY);
  }

  onDown(e) {
    const [px] = this.position(e);
    if (!this.time || e.button || px < this.plot.left - 2) return;
    this.drag = { from: px, to: px, moved: false };
    this.node.setPointerCapture(e.pointerId);
  }

  onUp() {
    const drag = this.drag;
    this.drag = null;
    if (!drag?.moved) return this.drawCursor();
    const [a, b] = [drag.from, drag.to].sort((p, q) => p - q);
    view.show(this.value(a), this.value(b));
    this.leave();
  }

  onKey(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const [from, to] = this.range, zoom = { "+": 0.5, "=": 0.5, "-": 2 }[e.key];
    const at = this.cursor ?? (from + to) / 2;
    if (this.time && zoom) view.show(at - ((to - from) / 2) * zoom, at + ((to - from) / 2) * zoom);
    else if (this.time && (e.key === "0" || e.key === "Escape")) view.show(...WHOLE);
    else if (!this.moveByKey(e.key, at, e.shiftKey ? 10 : 1)) return;
    e.preventDefault();
  }

  // How far an arrow key moves the cursor.
  get stride() {
    const [from, to] = this.range;
    return this.time ? WHOLE[1] / Math.max(...this.recordings.map((r) => r.length)) : (to - from) / 100;
  }

  moveByKey(key, at, times) {
    const [from, to] = this.range, bin = this.stride;
    const moves = { ArrowLeft: at - bin * times, ArrowRight: at + bin * times, Home: from + bin / 2, End: to - bin / 2 };
    const rows = { ArrowUp: -1, ArrowDown: 1 };
    if (!(key in moves) && !(this.step && key in rows)) return false;
    const value = Math.min(to, Math.max(from, moves[key] ?? at));
    const middle = (this.plot.top + this.plot.bottom) / 2, step = this.step ?? 0;
    const row = Math.min(this.plot.bottom - 1, Math.max(this.plot.top + 1, (this.row ?? middle) + (rows[key] ?? 0) * step * times));
    const box = this.node.getBoundingClientRect();
    const reading = this.pointTo(value, row, box.left + this.x(value), box.top + row);
    if (reading) speak([reading.title, ...reading.lines.map(([label, v]) => `${label} ${v}`)].join(", "));
    return true;
  }
}

view.listeners.push(() => charts.filter((c) => c.time).forEach((c) => c.render()));

// The title of a bin in tooltips.
function whenOf(recording, i) {
  const span = recording.end[i] - recording.start[i];
  const many = recording.windows[i] > 1 ? ` · ${recording.windows[i]} windows` : "";
  const held = recording.held_up[i] ? " · collector held up" : "";
  const wall = recording.wall_us === null ? "" : ` · ${wallClock(recording.wall_us + recording.start[i] / 1e3)}`;
  const letter = recording.letter ? `${recording.letter}: ` : "";
  return `${letter}${moment(recording.start[i], 1e6)} + ${duration(span)}${many}${held} ${wall}`;
}

function titled(title, chart, ...legend) {
  return h("div", { class: "titled" }, h("header", {}, h("h3", { text: title }), h("div", { class: "legend" }, ...legend)), chart.node ?? chart);
}
