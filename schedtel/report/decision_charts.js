// The charts of decisions: a lane for each arm, and lines of values that may be below 0.

const LANE = 34;

// A lane for each arm: its colour is the chance that the arm had, and a bar below it says that it ran.
function armChart() {
  const chart = new Chart({
    height: MARGIN.top + MARGIN.bottom + LANE * LOG.arms.length, label: "Arms over time", canvas: true, step: LANE,
    draw: drawArms, read: (t, y) => readArm(t, Math.floor((y - MARGIN.top) / LANE)),
  });
  themed.push(() => chart.render());
  return chart;
}

function drawArms(chart) {
  const context = pen(chart), [first, last] = LOG.within(view.range), { left, right, top } = chart.plot;
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--text");
  LOG.arms.forEach((arm, k) => {
    const y = top + k * LANE;
    for (let i = first; i < last; i++) {
      const x1 = Math.max(left, chart.x(LOG.start[i])), x2 = Math.min(right, chart.x(LOG.end[i]));
      const width = Math.max(0.6, x2 - x1 + 0.3), chance = LOG.chance[k][i];
      if (chance !== null) {
        context.fillStyle = css(colour(chance));
        context.fillRect(x1, y + 16, width, 8);
      }
      if (!LOG.ran[k][i]) continue;
      context.fillStyle = ink;
      context.globalAlpha = LOG.ran[k][i] / LOG.decisions[i];
      context.fillRect(x1, y + 25, width, 4);
      context.globalAlpha = 1;
    }
    const n = LOG.ran[k].reduce((a, b) => a + b, 0);
    chart.svg.append(s("text", { x: left + 2, y: y + 12, text: shortened(arm, (right - left) / 8) }),
      s("text", { x: left - 7, y: y + 24, "text-anchor": "end", text: count(n) }));
  });
}

// A name in so many characters; escapes of what is not printable are of up to ten.
function shortened(name, most) {
  const shown = printable(name);
  return shown.length > most ? `${shown.slice(0, Math.max(1, most - 1))}…` : shown;
}

function readArm(t, k) {
  const i = LOG.at(t);
  if (i < 0 || k < 0 || k >= LOG.arms.length) return null;
  const ran = LOG.ran[k][i], chance = LOG.chance[k][i];
  return {
    title: LOG.when(i),
    lines: [
      [LOG.arms[k], ran ? (LOG.decisions[i] > 1 ? `ran ${count(ran)} times` : "ran") : "did not run"],
      ["its chance", chance === null ? (LOG.guarded[i] ? "a guard decided" : "barred") : percent(chance, 1)],
      ["reward", signed(LOG.reward[i])],
    ],
  };
}

// Lines over decisions. A trace has `values`, and may have `low` and `high`; with `dots` it is drawn as dots.
function signedChart({ title, traces, text, height = 170 }) {
  const chart = new Chart({ height, label: title, draw: (c) => drawSigned(c, traces), read: (t) => readSigned(t, traces, text) });
  const legend = traces.map(({ label, paint, dots }) => h("span", {}, s("svg", { width: 22, height: 8 }, dots
    ? s("circle", { cx: 11, cy: 4, r: 2, fill: paint }) : s("line", { x1: 0, x2: 22, y1: 4, y2: 4, stroke: paint, "stroke-width": 2.5 })), label));
  return titled(title, chart, ...(traces.length > 1 ? legend : []));
}

function drawSigned(chart, traces) {
  const [first, last] = LOG.within(view.range), known = [0];
  for (const { values, low, high } of traces) {
    for (let i = first; i < last; i++) known.push(...[values[i], low?.[i], high?.[i]].filter((v) => v !== null && v !== undefined));
  }
  const ends = [Math.min(...known), Math.max(...known)], { step } = niceTicks(ends[0], ends[1] > ends[0] ? ends[1] : ends[0] + 1, 4);
  const domain = [Math.floor(ends[0] / step) * step, Math.max(Math.ceil(ends[1] / step), Math.floor(ends[0] / step) + 1) * step];
  chart.valueAxis(domain, (v) => String(Number(v.toPrecision(4))).replace("-", "−"));
  const y = (v) => chart.y(v, domain), { left, right } = chart.plot;
  chart.svg.append(s("line", { class: "axis", x1: left, x2: right, y1: y(0), y2: y(0) }));
  for (const { values, low, high, paint, dots } of traces) {
    if (low) chart.svg.append(s("path", { class: "band", fill: paint, d: band(chart, LOG, { low, high }, y) }));
    const d = dots ? dotted(chart, values, y) : steps(chart, LOG, (i) => values[i], y);
    chart.svg.append(s("path", dots ? { fill: paint, "fill-opacity": 0.55, d } : { class: "trace", stroke: paint, d }));
  }
}

// A small square in the middle of each bin.
function dotted(chart, values, y) {
  const [first, last] = LOG.within(view.range);
  let path = "";
  for (let i = first; i < last; i++) {
    if (values[i] === null) continue;
    const x = chart.x((LOG.start[i] + LOG.end[i]) / 2);
    if (x < chart.plot.left || x > chart.plot.right) continue;
    path += `M${(x - 1.2).toFixed(1)} ${(y(values[i]) - 1.2).toFixed(1)}h2.4v2.4h-2.4z`;
  }
  return path;
}

function readSigned(t, traces, text) {
  const i = LOG.at(t);
  if (i < 0) return null;
  const lines = traces.map(({ label, values, low, high, paint }) => {
    const range = low && low[i] !== null && low[i] !== undefined ? ` [${text(low[i])}, ${text(high[i])}]` : "";
    return [label, values[i] === null ? "–" : text(values[i]) + range, paint];
  });
  return { title: LOG.when(i), lines: [["arm", LOG.arm(i)], ...lines] };
}
