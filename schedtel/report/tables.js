// Tables: percentiles, groups, all figures, verdicts.

// Parts of tables. A title given to head() may be aligned to the left.
const cell = (text, attributes = {}) => h("td", { ...attributes, text });
const head = (...names) => h("thead", {}, h("tr", {}, ...names.map((name) => h("th", { scope: "col", class: name.left ? "left" : null, text: name.left ?? name }))));
const toTheLeft = (title) => ({ left: title });
const keyOf = (recording) => (COMPARED ? h("span", { class: "key", colour: `var(--s${recording.index})` }) : null);
const scrolling = (table) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, table);

// A table that is updated with the range of time on display: rows() returns its body.
function following(header, rows) {
  const body = h("tbody"), update = () => body.replaceChildren(...rows().filter(Boolean));
  view.listeners.push(update);
  update();
  return scrolling(h("table", {}, header, body));
}

const QUANTILES = [0.5, 0.9, 0.95, 0.99, 0.999];

function percentileTable(names) {
  return following(head("", "samples", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"), () =>
    names.flatMap((name) => RECORDINGS.map((recording) => {
      const found = recording.merged(name, view.range);
      if (!recording.merged(name, WHOLE).n) return null;
      const label = `${recording.letter ? `${recording.letter}: ` : ""}${PAGE.samples[name].label}`;
      return h("tr", {}, h("td", {}, keyOf(recording), label), cell(count(found.n)), cell(duration(found.mean)),
        ...QUANTILES.map((q) => cell(duration(found.percentile(q)))), cell(duration(found.n ? found.largest : null)));
    })));
}

function figuresTable() {
  const names = Object.keys(PAGE.figures).filter((name) => RECORDINGS.some((r) => r.figures[name]));
  const row = (name) => h("tr", {}, cell(PAGE.figures[name].label), ...RECORDINGS.map((r) => cell(inUnit(r.value(name, view.range), PAGE.figures[name].unit))));
  const titles = RECORDINGS.map((r) => (COMPARED ? `${r.letter}: ${r.name}` : "in the time shown"));
  const half = Math.ceil(names.length / 2);
  const halves = [names.slice(0, half), names.slice(half)].map((part) => following(head("figure", ...titles), () => part.map(row)));
  return h("div", { class: "pairs" }, ...halves);
}

// ---- groups ----

const ORDERS = { cpu_ns: "CPU time", wait_ns: "wait", max_wait_ns: "longest wait" };
const FEW = 12;

function choice(label, choices, chosen, act) {
  const buttons = Object.entries(choices).map(([value, text]) =>
    h("button", { "aria-pressed": String(value === chosen), text, onclick: (e) => {
      buttons.forEach((button) => button.setAttribute("aria-pressed", String(button === e.currentTarget)));
      act(value);
    } }));
  return h("div", { class: "choices", role: "group", "aria-label": label }, h("span", { text: label }), ...buttons);
}

const GROUPINGS = { cgroup: "cgroup", comm: "command name", process: "process" };

function groupsTable() {
  const known = Object.entries(GROUPINGS).filter(([by]) => RECORDINGS.every((r) => r.groups[by]));
  if (!known.length) return null;
  const state = { by: known.some(([by]) => by === "comm") ? "comm" : known[0][0], order: "cpu_ns", few: true }, place = h("div");
  const draw = () => place.replaceChildren(...groupRows(state, draw));
  const tools = h("div", { class: "tools" },
    choice("by", Object.fromEntries(known), state.by, (by) => { state.by = by; draw(); }),
    choice("largest", ORDERS, state.order, (order) => { state.order = order; draw(); }));
  draw();
  return [tools, place];
}

function groupRows(state, draw) {
  const { names, found } = unitedGroups(state.by, state.order);
  const shown = state.few ? names.slice(0, FEW) : names;
  const largest = (column) => Math.max(1e-12, ...shown.flatMap((name) => found.map((of, r) => (of.get(name)?.[column] ?? 0) / RECORDINGS[r].duration)));
  const most = { cpu_ns: largest("cpu_ns"), wait_ns: largest("wait_ns") };
  const rows = shown.flatMap((name) => RECORDINGS.map((recording, r) => groupRow(name, recording, found[r].get(name), most, r)));
  const titles = [GROUPINGS[state.by], toTheLeft("CPU and wait"), "CPU time", "CPUs", "wait", "p50 wait", "p99 wait", "longest", "preempted"];
  const totals = RECORDINGS.map((r) => r.groups[state.by]);
  const more = names.length > FEW
    ? h("button", { text: state.few ? `Show ${names.length}` : `Show ${FEW}`, onclick: () => { state.few = !state.few; draw(); } }) : null;
  const hidden = totals.some((t) => t.all > shown.length)
    ? h("p", { class: "about", text: totals.map((t, r) => `${RECORDINGS[r].letter ? `${RECORDINGS[r].letter}: ` : ""}${shown.length} of ${count(t.all + t.folded)} groups shown${t.folded ? ` (${count(t.folded)} small ones were summed into one while reading)` : ""}`).join(" · ") }) : null;
  return [scrolling(h("table", {}, head(...titles), h("tbody", {}, ...rows))), hidden, more].filter(Boolean);
}

// The groups of all recordings by name, sorted by the larger of their values.
function unitedGroups(by, order) {
  const found = RECORDINGS.map((r) => new Map(r.groups[by].top.map((group) => [group.name, group])));
  const size = (name) => Math.max(...found.map((of, r) => (of.get(name)?.[order] ?? 0) / (order === "max_wait_ns" ? 1 : RECORDINGS[r].duration)));
  const names = [...new Set(found.flatMap((of) => [...of.keys()]))].sort((a, b) => size(b) - size(a));
  return { names, found };
}

function groupRow(name, recording, group, most, r) {
  const label = h("td", { class: "name", title: name }, keyOf(recording), COMPARED && r ? "" : name);
  if (!group) return h("tr", {}, label, h("td", {}), ...Array.from({ length: 7 }, () => cell("–")));
  const { cpu_ns: cpu, wait_ns: wait } = group;
  const bar = (column, paint) => {
    const inner = h("i", { colour: paint });
    inner.style.width = `${(100 * group[column]) / recording.duration / most[column]}%`;
    return h("div", { class: `share ${column}` }, inner);
  };
  const bars = [bar("cpu_ns", `var(--s${COMPARED ? r : 0})`), bar("wait_ns", "var(--faint)")];
  return h("tr", {}, label, h("td", { title: `CPU ${duration(cpu)}, wait ${duration(wait)}` }, ...bars), cell(duration(cpu)), cell(significant(cpu / recording.duration)),
    cell(duration(wait)), cell(duration(group.wait_p50_ns)), cell(duration(group.wait_p99_ns)), cell(duration(group.max_wait_ns)), cell(count(group.involuntary_switches)));
}

// ---- verdicts ----

const WORDS = { better: "B is better", worse: "B is worse", differs: "differs", none: "no difference shown", few: "cannot tell" };

function verdictTable() {
  const { metrics } = PAGE.comparison, body = h("tbody");
  const draw = (which) => body.replaceChildren(...metrics.filter((m) => which === "all" || !["none", "few"].includes(m.verdict)).map(verdictRow));
  const tools = h("div", { class: "tools" }, choice("show", { all: "all metrics", some: "only differences" }, "all", draw));
  draw("all");
  const level = `${Math.round(100 * PAGE.comparison.confidence)} % interval`;
  return [tools, scrolling(h("table", {}, head("metric", toTheLeft("verdict"), "A", "B", "change", "", level), body))];
}

function verdictRow(m) {
  const shown = !["none", "few"].includes(m.verdict);
  const interval = m.low === null ? "–" : `${change(m, m.low)} … ${change(m, m.high)}`;
  return h("tr", { class: shown ? "shown" : null }, cell(m.label), h("td", { class: "left" }, h("span", { class: `verdict ${m.verdict}`, text: WORDS[m.verdict] })),
    cell(inUnit(m.a, m.unit)), cell(inUnit(m.b, m.unit)), cell(m.low === null ? "–" : change(m, m.change)), h("td", {}, forest(m)), cell(interval));
}

// A ratio in percent, from 3 on as a multiple; a difference in its unit.
function change(m, value) {
  const sign = (v) => (v > 0 ? "+" : v < 0 ? "−" : "");
  if (m.scale === "difference") return sign(value) + inUnit(Math.abs(value), m.unit);
  return value >= 3 ? `× ${significant(value)}` : `${sign(value - 1)}${(100 * Math.abs(value - 1)).toFixed(1)} %`;
}

// The interval as a line; the middle of the axis is no change. The axis of a ratio is logarithmic and reaches a factor
// of 2 either way, or further if the interval does.
function forest(m) {
  if (m.low === null) return "";
  const of = m.scale === "ratio" ? Math.log : (v) => v;
  const reach = 1.05 * Math.max(Math.abs(of(m.low)), Math.abs(of(m.high)), m.scale === "ratio" ? Math.log(2) : Math.abs(m.a ?? 0) * 0.1) || 1;
  const x = (v) => (95 + (88 * of(v)) / reach).toFixed(1);
  const paint = { better: "var(--good)", worse: "var(--bad)", differs: "var(--accent)" }[m.verdict] ?? "var(--faint)";
  return s("svg", { class: "forest", viewBox: "0 0 190 18", role: "img", "aria-label": "interval" },
    s("line", { x1: 95, x2: 95, y1: 1, y2: 17, stroke: "var(--line)" }),
    s("line", { x1: x(m.low), x2: x(m.high), y1: 9, y2: 9, stroke: paint, "stroke-width": 3, "stroke-linecap": "round" }),
    s("circle", { cx: x(m.change), cy: 9, r: 4.2, fill: paint }));
}
