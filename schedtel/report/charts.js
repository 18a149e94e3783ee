// The kinds of charts: heat map, lines over time, distributions, CPUs.

// Ten colours of Viridis (S. van der Walt, N. Smith: matplotlib's perceptually uniform map), interpolated linearly.
const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 73, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37]];

const dark = () => document.documentElement.dataset.theme === "dark";

// Colour of a share from 0 to 1. A larger share must contrast more with the page, so a light page reverses the map.
function colour(share) {
  const at = (dark() ? share : 0.95 * (1 - share)) * (VIRIDIS.length - 1);
  const k = Math.min(VIRIDIS.length - 2, Math.floor(at)), part = at - k;
  return VIRIDIS[k].map((c, i) => Math.round(c + part * (VIRIDIS[k + 1][i] - c)));
}
const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

function scale(low, high) {
  const canvas = h("canvas", { class: "scale", width: 120, height: 9 });
  const paint = () => {
    const pen = canvas.getContext("2d");
    for (let x = 0; x < 120; x++) { pen.fillStyle = css(colour(x / 119)); pen.fillRect(x, 0, 1, 9); }
  };
  themed.push(paint);
  paint();
  return h("span", {}, low, canvas, high);
}
const themed = [];

// Drawing context of a canvas over the chart's plot, at the resolution of the screen.
function pen(chart) {
  const { left, right, top, bottom } = chart.plot, ratio = devicePixelRatio || 1;
  const [width, height] = [Math.max(1, right - left), bottom - top];
  const canvas = chart.canvas;
  Object.assign(canvas.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.translate(-left, -top);
  return context;
}

// ---- heat map: x is time, y is duration, colour is the number of waits a second ----

// Buckets of the histogram → buckets in a row of the heat map.
const PER_ROW = { 448: 4, 56: 1 };

class Heat {
  constructor(recording, name) {
    Object.assign(this, { recording, buckets: PAGE.samples[name].buckets });
    this.name = name;
    this.group = PER_ROW[this.buckets];
    this.pairs = recording.histograms(name);
    this.rows = this.pairs.map((pairs) => this.grouped(pairs));
    const used = this.rows.flatMap((row) => [...row.keys()]);
    this.first = used.length ? used.reduce((a, b) => Math.min(a, b)) : Infinity;
    this.last = used.reduce((a, b) => Math.max(a, b), -1) + 1;
    this.most = this.rows.reduce((most, row, i) => [...row.values()].reduce((m, n) => Math.max(m, n / this.seconds(i)), most), 0);
    this.chart = new Chart({
      height: 300, label: `Heat map of waits over time ${recording.letter}`, canvas: true, recordings: [recording], step: 1,
      draw: (chart) => this.draw(chart), read: (t, row) => this.read(t, row),
    });
    themed.push(() => this.chart.render());
  }

  seconds(i) { return (this.recording.end[i] - this.recording.start[i]) / 1e9; }
  edge(row) { return PAGE.edges[this.buckets][row * this.group]; }

  grouped(pairs) {
    const rows = new Map();
    for (const [bucket, n] of pairs) {
      const row = Math.floor(bucket / this.group);
      rows.set(row, (rows.get(row) ?? 0) + n);
    }
    return rows;
  }

  rowY(row) {
    const { top, bottom } = this.chart.plot;
    return bottom - ((row - this.first) / (this.last - this.first)) * (bottom - top);
  }

  // Pixel of a duration, interpolated linearly within its row.
  nsY(ns) {
    let row = this.first;
    while (row < this.last - 1 && this.edge(row + 1) <= ns) row++;
    const [low, high] = [this.edge(row), this.edge(row + 1)];
    return this.rowY(row + Math.min(1, (ns - low) / (high - low)));
  }

  draw(chart) {
    const { left, right } = chart.plot, context = pen(chart), [from, to] = this.recording.within(view.range);
    chart.step = Math.abs(this.rowY(1) - this.rowY(0));
    context.beginPath();
    for (let i = from; i < to; i++) {
      const x1 = Math.max(left, chart.x(this.recording.start[i])), x2 = Math.min(right, chart.x(this.recording.end[i]));
      for (const [row, n] of this.rows[i]) {
        context.fillStyle = css(colour(this.share(n / this.seconds(i))));
        const y = this.rowY(row + 1);
        context.fillRect(x1, y, Math.max(0.6, x2 - x1 + 0.3), this.rowY(row) - y + 0.3);
      }
    }
    this.axis(chart);
    for (const [q, dash] of [[0.99, null], [0.5, "2 3"]]) {
      const path = steps(chart, this.recording, (i) => this.percentile(i, q), (ns) => this.nsY(ns));
      chart.svg.append(s("path", { class: "halo", d: path }),
        s("path", { class: "trace", d: path, stroke: "var(--text)", "stroke-dasharray": dash }));
    }
  }

  // Logarithmic, so that one wait in ten seconds is visible next to thousands of short ones a second.
  share(rate) { return this.most > 1 ? Math.max(0.03, Math.log1p(rate) / Math.log1p(this.most)) : rate ? 1 : 0; }

  percentile(i, q) {
    return percentileOf(this.pairs[i], this.buckets, q, this.recording.samples[this.name].largest[i]);
  }

  axis(chart) {
    const { left, right } = chart.plot, [low, high] = [Math.max(64, this.edge(this.first)), this.edge(this.last)];
    let before = Infinity;
    for (const ns of decadeTicks(low, high)) {
      const y = this.nsY(ns);
      if (before - y < 13) continue;
      before = y;
      chart.svg.append(s("line", { class: "grid", x1: left - 4, x2: left, y1: y, y2: y, stroke: "var(--line)" }),
        s("line", { x1: left, x2: right, y1: y, y2: y, stroke: "var(--soft)", "stroke-opacity": 0.16 }),
        s("text", { x: left - 7, y: y + 4, "text-anchor": "end", text: duration(ns).replace(".00", "").replace(/\.0(?= )/, "") }));
    }
  }

  read(t, y) {
    const i = this.recording.at(t);
    if (i < 0) return null;
    const { top, bottom } = this.chart.plot;
    const row = Math.floor(this.first + ((bottom - y) / (bottom - top)) * (this.last - this.first));
    const n = this.rows[i].get(row) ?? 0, all = this.pairs[i].reduce((total, [, c]) => total + c, 0);
    return {
      title: whenOf(this.recording, i),
      lines: [
        [`waits of ${duration(this.edge(row))} to ${duration(this.edge(row + 1))}`, count(n)],
        ["waits in all", count(all)],
        ["median", duration(this.percentile(i, 0.5))],
        ["99th percentile", duration(this.percentile(i, 0.99))],
      ],
      losses: this.recording.lossesAt(i),
    };
  }
}

// Path of a value that is constant within each bin; interrupted at a bin without a value and between separate bins.
function steps(chart, recording, valueAt, y) {
  const [first, last] = recording.within(view.range), { left, right } = chart.plot;
  const inside = (x) => Math.min(right, Math.max(left, x)).toFixed(1);
  let path = "", before = null;
  for (let i = first; i < last; i++) {
    const value = valueAt(i);
    if (value === null || Number.isNaN(value)) { before = null; continue; }
    const joined = before !== null && recording.start[i] <= recording.end[i - 1];
    path += `${joined ? "L" : "M"}${inside(chart.x(recording.start[i]))} ${y(value).toFixed(1)}H${inside(chart.x(recording.end[i]))}`;
    before = value;
  }
  return path;
}

// ---- lines over time ----

const DASHES = [null, "6 3", "2 3", "8 3 2 3"];

// One chart of several figures. In a comparison the colour tells the recording, and the dashes tell the figure.
function lineChart({ title, figures, top = null, height = 150, text = null }) {
  const traces = figures.flatMap(([name, label], k) => RECORDINGS.map((recording) => ({
    name, recording, label: recording.letter ? `${recording.letter}: ${label}` : label,
    paint: `var(--s${COMPARED ? recording.index : k})`, dash: COMPARED ? DASHES[k] : null,
    series: recording.series(name), unit: PAGE.figures[name].unit,
  }))).filter((trace) => trace.series);
  if (!traces.length) return null;
  const format = text ?? ((v, unit) => inUnit(v, unit));
  const chart = new Chart({
    height, label: title,
    draw: (c) => drawLines(c, traces, top),
    read: (t) => readLines(t, traces, format),
  });
  const legend = traces.map((trace) => h("span", {}, s("svg", { width: 22, height: 8 }, s("line", {
    x1: 0, x2: 22, y1: 4, y2: 4, stroke: trace.paint, "stroke-width": 2.5, "stroke-dasharray": trace.dash,
  })), trace.label));
  return titled(title, chart, ...(traces.length > 1 ? legend : []));
}

function drawLines(chart, traces, top) {
  let highest = top ?? 0;
  for (const { recording, series } of traces) {
    const [first, last] = recording.within(view.range);
    for (let i = first; i < last; i++) highest = Math.max(highest, series.high?.[i] ?? series.values[i] ?? 0);
  }
  const { ticks, step } = niceTicks(0, highest || 1, 4);
  const domain = [0, top && highest <= top ? top : Math.max(ticks.at(-1) + (ticks.at(-1) < highest ? step : 0), step)];
  chart.valueAxis(domain, (v) => (domain[1] >= 1e4 && v ? `${Number((v / 1e3).toPrecision(6))}k` : String(Number(v.toPrecision(6)))));
  const y = (v) => chart.y(v, domain);
  for (const { recording, series, paint, dash } of traces) {
    if (series.high) chart.svg.append(s("path", { class: "band", fill: paint, d: band(chart, recording, series, y) }));
    const d = steps(chart, recording, (i) => series.values[i], y);
    chart.svg.append(s("path", { class: "trace", stroke: paint, "stroke-dasharray": dash, d }));
  }
}

// Area from the lowest to the highest window of each bin.
function band(chart, recording, series, y) {
  const [first, last] = recording.within(view.range), { left, right } = chart.plot;
  let path = "";
  for (let i = first; i < last; i++) {
    if (series.low[i] === null) continue;
    const x1 = Math.max(left, chart.x(recording.start[i])), x2 = Math.min(right, chart.x(recording.end[i]));
    path += `M${x1.toFixed(1)} ${y(series.low[i]).toFixed(1)}H${x2.toFixed(1)}V${y(series.high[i]).toFixed(1)}H${x1.toFixed(1)}Z`;
  }
  return path;
}

function readLines(t, traces, format) {
  const lines = [], losses = [], titles = new Set();
  for (const { recording, series, label, paint, unit } of traces) {
    const i = recording.at(t);
    if (i < 0) continue;
    if (!titles.size) losses.push(...recording.lossesAt(i));
    titles.add(whenOf(recording, i));
    const spread = series.high && recording.windows[i] > 1 && series.low[i] !== null
      ? ` (${format(series.low[i], unit)} … ${format(series.high[i], unit)})` : "";
    lines.push([label, series.values[i] === null ? "–" : format(series.values[i], unit) + spread, paint]);
  }
  return lines.length ? { title: [...titles].join(" / "), lines, losses } : null;
}

// ---- distributions: cumulative share of the samples, by duration ----

function distributionChart(names) {
  const traces = names.flatMap((name, k) => RECORDINGS.map((recording) => ({
    name, recording, label: (recording.letter ? `${recording.letter}: ` : "") + PAGE.samples[name].label,
    paint: `var(--s${COMPARED ? recording.index : k})`, dash: COMPARED ? DASHES[k % 4] : null, hidden: COMPARED && k > 1,
  }))).filter(({ name, recording }) => recording.merged(name, WHOLE).n);
  const scaled = { by: "even" };
  const chart = new Chart({
    height: 280, time: false, label: "Distributions",
    draw: (c) => drawDistributions(c, traces, SHARES[scaled.by]), read: (log) => readDistributions(10 ** log, traces),
  });
  view.listeners.push(() => chart.render());
  const legend = traces.map((trace) => {
    const key = s("svg", { width: 22, height: 8 }, s("line", { x1: 0, x2: 22, y1: 4, y2: 4, stroke: trace.paint, "stroke-width": 2.5, "stroke-dasharray": trace.dash }));
    const button = h("button", { "aria-pressed": String(!trace.hidden), class: "series", onclick: () => {
      trace.hidden = !trace.hidden;
      button.setAttribute("aria-pressed", String(!trace.hidden));
      chart.render();
    } }, key, ` ${trace.label}`);
    return button;
  });
  const scales = choice("scale", { even: "even", tail: "the tail" }, "even", (by) => { scaled.by = by; chart.render(); });
  return h("div", { class: "titled" }, h("div", { class: "tools keys" }, h("div", { class: "choices" }, ...legend), scales), chart.node);
}

// Position of a share on the y axis, from 0 to 1. On the scale "tail" 0.9, 0.99, 0.999 … are at equal distances.
const SHARES = {
  even: { ticks: [0, 0.25, 0.5, 0.75, 0.9, 1], place: (share) => share },
  tail: { ticks: [0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999], place: (share) => Math.min(1, -Math.log10(Math.max(1e-6, 1 - share)) / 5) },
};

function drawDistributions(chart, traces, { ticks, place }) {
  for (const trace of traces) trace.found = trace.recording.merged(trace.name, view.range);
  const shown = traces.filter((trace) => !trace.hidden && trace.found.n);
  const { left, right, top, bottom } = chart.plot;
  const lows = shown.map(({ found }) => found.edges[found.counts.findIndex((n) => n > 0)]);
  const highs = shown.map(({ found }) => found.largest);
  const low = Math.max(100, Math.min(...lows, 1e6)), high = Math.max(...highs, low * 100);
  chart.domain = [Math.log10(low), Math.log10(high * 1.15)];
  for (const share of ticks) {
    const y = chart.y(place(share), [0, 1]);
    chart.svg.append(s("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }),
      s("text", { x: left - 7, y: y + 4, "text-anchor": "end", text: `${Number((100 * share).toFixed(3))} %` }));
  }
  for (const ns of decadeTicks(low, high * 1.15)) {
    const x = chart.x(Math.log10(ns));
    chart.svg.append(s("line", { class: "grid", x1: x, x2: x, y1: top, y2: bottom }),
      s("text", { x, y: bottom + 16, "text-anchor": "middle", text: duration(ns).replace(".00", "").replace(/\.0(?= )/, "") }));
  }
  for (const trace of shown) {
    chart.svg.append(s("path", { class: "trace", stroke: trace.paint, "stroke-dasharray": trace.dash, d: cumulative(chart, trace.found, place) }));
  }
}

// Path of the cumulative share. The samples of a bucket are assumed to be spread evenly within it.
function cumulative(chart, found, place) {
  const { left, right } = chart.plot, x = (ns) => Math.min(right, Math.max(left, chart.x(Math.log10(Math.max(1, ns))))).toFixed(1);
  const y = (n) => chart.y(place(n / found.n), [0, 1]).toFixed(1);
  let seen = 0, path = `M${left} ${y(0)}`;
  for (let i = 0; i < found.counts.length; i++) {
    if (!found.counts[i]) continue;
    path += `H${x(found.edges[i])}`;
    seen += found.counts[i];
    path += `L${x(Math.min(found.edges[i + 1], found.largest || Infinity))} ${y(seen)}`;
  }
  return `${path}H${right}`;
}

function readDistributions(ns, traces) {
  const shown = traces.filter((trace) => !trace.hidden && trace.found?.n);
  return { title: `at most ${duration(ns)}`, lines: shown.map(({ label, found, paint }) => [label, percent(found.below(ns), 2), paint]) };
}

// ---- CPUs: a row for each, colour is the busy share ----

function cpuChart(recording) {
  const { numbers, busy } = recording.cpus, row = Math.max(4, Math.min(26, 420 / numbers.length));
  const chart = new Chart({
    height: MARGIN.top + MARGIN.bottom + row * numbers.length, label: `CPUs over time ${recording.letter}`, canvas: true,
    recordings: [recording], step: row,
    draw: (c) => drawCpus(c, recording, row), read: (t, y) => readCpus(recording, t, Math.floor((y - MARGIN.top) / row)),
  });
  themed.push(() => chart.render());
  return chart;

  function drawCpus(c) {
    const context = pen(c), [first, last] = recording.within(view.range), { left, right, top } = c.plot;
    numbers.forEach((number, k) => {
      for (let i = first; i < last; i++) {
        if (busy[k][i] === null) continue;
        const x1 = Math.max(left, c.x(recording.start[i])), x2 = Math.min(right, c.x(recording.end[i]));
        context.fillStyle = css(colour(busy[k][i] / 1e4));
        context.fillRect(x1, top + k * row, x2 - x1 + 0.3, row > 8 ? row - 1.5 : row);
      }
      const every = Math.ceil(14 / row);
      if (k % every === 0) c.svg.append(s("text", { x: left - 7, y: top + k * row + Math.min(row, 14) / 2 + 4, "text-anchor": "end", text: `CPU ${number}` }));
    });
  }
}

function readCpus(recording, t, k) {
  const i = recording.at(t), { numbers, busy } = recording.cpus;
  if (i < 0 || k < 0 || k >= numbers.length || busy[k][i] === null) return null;
  const share = busy[k][i] / 1e4;
  return { title: whenOf(recording, i), lines: [[`CPU ${numbers[k]} busy`, percent(share, 2)], ["idle", percent(1 - share, 2)]], losses: recording.lossesAt(i) };
}
