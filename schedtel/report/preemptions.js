// The matrix of preemptions: victims in rows, preemptors in columns. Below it, delays that only look like preemption.

// Sums of a cell over a range of bins, from its quadruples of bin, count, wait and longest wait.
function summed(quadruples, [first, last]) {
  const sum = { count: 0, wait: 0, longest: 0 };
  for (let i = 0; i < quadruples.length; i += 4) {
    if (quadruples[i] < first || quadruples[i] >= last) continue;
    sum.count += quadruples[i + 1];
    sum.wait += quadruples[i + 2];
    sum.longest = Math.max(sum.longest, quadruples[i + 3]);
  }
  return sum;
}

function preemptionSection() {
  const recordings = RECORDINGS.filter((r) => r.preemptions.cells.length || r.preemptions.throttled.length);
  if (!recordings.length) return null;
  const nodes = recordings.flatMap((r) => [
    r.preemptions.cells.length ? titled(r.letter ? `${r.letter}: ${r.name}` : "Wait after losing the CPU", matrix(r)) : null,
  ]).filter(Boolean);
  return [...nodes, ...otherDelays()];
}

function matrix(recording) {
  const { victims, preemptors, cells } = recording.preemptions;
  const names = h("tr", {}, h("th", { scope: "col", text: "victim ↓  preemptor →" }),
    ...preemptors.map((name) => h("th", { scope: "col", title: name, text: name })), h("th", { scope: "col", text: "all" }));
  const body = h("tbody"), update = () => body.replaceChildren(...matrixRows(recording, victims, preemptors, cells));
  view.listeners.push(update);
  update();
  return scrolling(h("table", { class: "matrix" }, h("thead", {}, names), body));
}

// The largest wait of all recordings: two matrices can be compared only if the same colour means the same wait.
function largestWait() {
  const waits = (r) => r.preemptions.cells.map(([, , quadruples]) => summed(quadruples, r.within(view.range)).wait);
  return Math.max(1, ...RECORDINGS.flatMap(waits));
}

function matrixRows(recording, victims, preemptors, cells) {
  const bins = recording.within(view.range), sums = victims.map(() => []);
  for (const [v, p, quadruples] of cells) sums[v][p] = summed(quadruples, bins);
  const most = largestWait();
  const whole = (some) => some.reduce((all, sum) => ({
    count: all.count + (sum?.count ?? 0), wait: all.wait + (sum?.wait ?? 0), longest: Math.max(all.longest, sum?.longest ?? 0),
  }), { count: 0, wait: 0, longest: 0 });
  const row = (name, some, share) => h("tr", {}, h("th", { scope: "row", title: name, text: name }),
    ...preemptors.map((_, p) => matrixCell(some[p], share)), matrixCell(whole(Array.from(some)), null));
  const columns = preemptors.map((_, p) => whole(sums.map((some) => some[p])));
  return [...victims.map((name, v) => row(name, sums[v], (wait) => wait / most)), row("all", columns, null)];
}

function matrixCell(sum, share) {
  if (!sum?.count) return h("td", {});
  const colour = share ? `color-mix(in srgb, var(--accent) ${Math.round(50 * Math.sqrt(share(sum.wait)))}%, transparent)` : null;
  const each = `${count(sum.count)} × ${duration(sum.wait / sum.count)}`;
  return h("td", { title: `${each}, longest ${duration(sum.longest)}`, ...(colour ? { colour } : {}) },
    h("div", { text: duration(sum.wait) }), h("small", { text: each }));
}

// Time taken by bandwidth limits and by the hypervisor: a task that is delayed by them waits for its CPU, too.
function otherDelays() {
  const rows = (r) => {
    const bins = r.within(view.range), stolen = r.figures.steal_cpus ? r.sums("steal_cpus", view.range)[0] : 0;
    const length = r.duration ? (view.range[1] - view.range[0]) : 1;
    const row = (name, what, ns) => h("tr", {}, h("td", { class: "name", title: name }, keyOf(r), name), cell(what, { class: "left" }), cell(duration(ns)), cell(significant(ns / length)));
    const limited = r.preemptions.throttled.map(([name, pairs]) => [name, pairs.reduce((ns, n, i) => (i % 2 && pairs[i - 1] >= bins[0] && pairs[i - 1] < bins[1] ? ns + n : ns), 0)]);
    return [...limited.filter(([, ns]) => ns).map(([name, ns]) => row(name, "throttled by its bandwidth limit", ns)),
      ...(stolen ? [row("all CPUs", "steal: the hypervisor ran something else", stolen)] : [])];
  };
  if (!RECORDINGS.some((r) => r.preemptions.throttled.length || r.value("steal_cpus", WHOLE))) return [];
  return [titled("Beside it, and not the scheduler’s doing", following(head("", toTheLeft("what"), "time", "CPUs"), () => RECORDINGS.flatMap(rows)))];
}
