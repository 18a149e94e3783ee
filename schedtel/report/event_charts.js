// Lanes over time: what each CPU runs, and what becomes of each thread.

const LANE = 22, BAR = 13, MOST_ARROWS = 400, MOST_LANES = 40;

// A colour for each thread, and for each CPU: hues as far apart as the golden angle.
const hue = (number) => `hsl(${Math.round((number * 137.508) % 360)} 55% ${dark() ? 62 : 45}%)`;

// A chart with a lane for each key. lanes(): the keys in their order; text(key): a label; runs(key): the lane's runs;
// paint(i): a colour; wakerLane(i) and runLane(i): the keys between which the arrow of a run's wakeup is.
class Lanes extends Chart {
  constructor({ label, showsWaits, ...how }) {
    super({ height: 60, label, canvas: true, step: LANE, draw: () => this.drawLanes(), read: (t, y) => this.readLane(t, y) });
    Object.assign(this, { showsWaits, ...how });
    const update = () => this.resize();
    search.listeners.push(update);
    view.listeners.push(update);
    themed.push(() => this.render());
    this.resize();
  }

  // As many lanes as there are now.
  resize() {
    this.keys = this.lanes();
    this.place = new Map(this.keys.map((key, at) => [key, at]));
    this.height = MARGIN.top + MARGIN.bottom + LANE * Math.max(1, this.keys.length);
    this.svg.setAttribute("height", this.height);
    this.render();
  }

  get plot() {
    const plot = super.plot;
    return { ...plot, left: this.text ? Math.min(190, plot.width * 0.3) : plot.left };
  }

  top(at) { return MARGIN.top + LANE * at + (LANE - BAR) / 2; }

  render() { if (this.keys) super.render(); }

  drawLanes() {
    const context = pen(this), { left, right } = this.plot;
    this.keys.forEach((key, at) => {
      const y = this.top(at) + BAR / 2, below = MARGIN.top + LANE * (at + 1);
      this.svg.append(s("line", { class: "grid", x1: left, x2: right, y1: below, y2: below }),
        s("text", { x: left - 7, y: y + 4, "text-anchor": "end", text: shortened(this.text(key), left) }));
      for (const i of inRange(this.runs(key), view.range)) this.drawRun(context, i, at);
    });
    this.drawGaps();
    this.drawArrows();
  }

  drawRun(context, i, at) {
    const { left, right } = this.plot, y = this.top(at), is = found(RUNS.thread[i]);
    const inside = (x) => Math.min(right, Math.max(left, x));
    const x1 = inside(this.x(RUNS.begin[i])), x2 = inside(this.x(endOf(i)));
    context.globalAlpha = is ? 1 : 0.18;
    if (this.showsWaits) this.drawWait(context, i, inside, y);
    context.fillStyle = this.paint(i);
    context.fillRect(x1, y, Math.max(0.7, x2 - x1), BAR);
    context.globalAlpha = 1;
  }

  drawWait(context, i, inside, y) {
    const x1 = inside(this.x(readyAt(i))), x2 = inside(this.x(RUNS.begin[i]));
    context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--bad");
    if (RUNS.wait[i] > 0 && x2 > x1) context.fillRect(x1, y + BAR - 4, Math.max(0.7, x2 - x1), 4);
  }

  // Where events are missing on a CPU.
  drawGaps() {
    const { left, right, top, bottom } = this.plot;
    for (const gap of PAGE.gaps) {
      if (gap.to < view.range[0] || gap.from > view.range[1]) continue;
      const x1 = Math.max(left, this.x(gap.from)), x2 = Math.min(right, Math.max(x1 + 2, this.x(gap.to)));
      const at = this.showsWaits ? undefined : this.place.get(gap.cpu);
      const y = at === undefined ? [top, bottom] : [this.top(at) - 3, this.top(at) + BAR + 3];
      this.svg.append(s("rect", { class: "missing", x: x1, width: x2 - x1, y: y[0], height: y[1] - y[0] }));
    }
  }

  // From the waker's lane to the run that the wakeup led to, where there are few enough to be told apart.
  drawArrows() {
    const { left, right } = this.plot, drawn = [];
    for (const key of this.keys) {
      for (const i of inRange(this.runs(key), view.range)) {
        const from = this.place.get(this.wakerLane(i)), to = this.place.get(this.runLane(i));
        if (from === undefined || to === undefined || from === to || !found(RUNS.thread[i])) continue;
        const x1 = this.x(readyAt(i)), x2 = this.x(RUNS.begin[i]);
        if (x1 >= left && x2 <= right) drawn.push([x1, this.top(from) + BAR / 2, x2, this.top(to) + BAR / 2]);
        if (drawn.length > MOST_ARROWS) return;
      }
    }
    for (const [x1, y1, x2, y2] of drawn) {
      const down = y2 > y1 ? 1 : -1, end = y2 - down * BAR / 2;
      this.svg.append(s("path", { class: "arrow", d: `M${x1.toFixed(1)} ${y1}L${x2.toFixed(1)} ${end}m-3 ${-4 * down}l3 ${4 * down}l3 ${-4 * down}` }));
    }
  }

  readLane(t, y) {
    const key = this.keys[Math.floor((y - MARGIN.top) / LANE)];
    if (key === undefined) return null;
    const near = (view.range[1] - view.range[0]) / 400;
    const runs = inRange(this.runs(key), [t - near, t + near]);
    const i = runs.find((run) => readyAt(run) <= t && endOf(run) >= t) ?? runs[0];
    const losses = PAGE.gaps.filter((gap) => gap.from <= t && gap.to >= t).map((gap) => [`events (${gap.cause})`, gap.events]);
    if (i === undefined) return { title: `${exactly(t)} · ${this.text(key)}`, lines: [["nothing runs here", ""]], losses };
    return { title: PAGE.threads[RUNS.thread[i]], lines: toldOf(i), losses };
  }

  get stride() { return (view.range[1] - view.range[0]) / 100; }
}

function toldOf(i) {
  const lines = [["on CPU", String(RUNS.cpu[i])], ["from", exactly(RUNS.begin[i])], ["ran", duration(RUNS.length[i])], ["then", leftHow(i)]];
  if (RUNS.wait[i] > 0) lines.push(["waited before", duration(RUNS.wait[i])]);
  const by = wokenBy(i);
  if (by) lines.push(["woken by", by]);
  return lines;
}

// A label that has room for so many pixels; the tooltip tells the whole.
function shortened(text, room) {
  const most = Math.max(4, Math.floor(room / 6.4) - 2), letters = [...printable(text)];
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : letters.join("");
}

function cpuChart() {
  return new Lanes({
    label: "What each CPU runs", showsWaits: false, lanes: () => CPUS, text: (cpu) => `CPU ${cpu}`, runs: (cpu) => BY_CPU.get(cpu) ?? [],
    paint: (i) => hue(RUNS.thread[i]), wakerLane: (i) => RUNS.waker_cpu[i], runLane: (i) => RUNS.cpu[i],
  });
}

// The threads that match the search and ran or waited longest in the range on display.
function busiest() {
  const busy = [];
  for (const [thread, runs] of BY_THREAD) {
    if (!found(thread)) continue;
    const time = inRange(runs, view.range).reduce((sum, i) => sum + ranIn(i, view.range) + RUNS.wait[i], 0);
    if (time) busy.push([thread, time]);
  }
  return busy.sort((a, b) => b[1] - a[1]).slice(0, MOST_LANES).map(([thread]) => thread);
}

function threadChart() {
  return new Lanes({
    label: "What becomes of each thread", showsWaits: true, lanes: busiest, text: (thread) => PAGE.threads[thread], runs: (thread) => BY_THREAD.get(thread),
    paint: (i) => hue(RUNS.cpu[i] + 3), wakerLane: (i) => RUNS.waker[i], runLane: (i) => RUNS.thread[i],
  });
}
