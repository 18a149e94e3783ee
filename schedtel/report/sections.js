// The sections of the page, in their order. Each has an id, a title, about(), which describes it to the reader, and
// fill(), which returns its nodes. If the recordings lack its figures, fill() returns none and the section is left out.
// A new section is an entry here, and its figures are an entry in document.py.

const SHOWN_SAMPLES = RECORDINGS.some((r) => r.filtered) ? ["tat", "rt", "burst_tat", "selected_wait"] : ["tat", "rt", "burst_tat", "wait"];

const SECTIONS = [
  {
    id: "verdict", title: "What differs",
    about: () => PAGE.comparison?.method,
    fill: () => (PAGE.comparison ? [...otherDifferences(), ...verdictTable()] : null),
  },
  { id: "glance", title: "At a glance", plain: true, fill: () => [tiles()] },
  {
    id: "waits", title: "Waiting for a CPU",
    about: () => "How long runnable tasks waited, over time. Colour: waits a second. Solid line: 99th percentile, dotted: median. Drag to zoom.",
    fill: () => waitSection(),
  },
  {
    id: "longest", title: "The longest waits",
    about: () => "Single waits of selected tasks, of each window the longest. Behind: the task that had the CPU last, before the wait ended or when the last window did; (idle): none. Others may have run before it.",
    fill: () => longestWaits(),
  },
  {
    id: "distributions", title: "Turnaround and response",
    about: () => "Share of the lives, bursts and waits that took at most so long. TAT and RT are of tasks born while recording; bursts, of all. Percentiles come from added histograms: never low, and at most 6.25 % high (burst TAT and waits of selected tasks: 50 %).",
    fill: () => [distributionChart(SHOWN_SAMPLES), percentileTable(SHOWN_SAMPLES)],
  },
  {
    id: "fairness", title: "Fairness",
    about: () => "Of cpu / (cpu + wait), and of CPU time per load weight, among the tasks that asked for 1 ms or more in a window. J: 1 is fair. CV: 0 is fair. Where a bin is of several windows, the line is their mean and the band their range.",
    fill: () => pairsOf(
      lineChart({ title: "Jain’s index J", figures: [["fairness_jain", "share"], ["weighted_fairness_jain", "by weight"]], top: 1 }),
      lineChart({ title: "Coefficient of variation CV", figures: [["fairness_cv", "share"], ["weighted_fairness_cv", "by weight"]] })),
  },
  {
    id: "load", title: "Load",
    about: () => "Exact time averages of the number of tasks in each state, of the whole host.",
    fill: () => pairsOf(
      lineChart({ title: "Run queue and running", figures: [["runqueue_length_avg", "waiting for a CPU"], ["running_avg", "running"]] }),
      lineChart({ title: "Blocked", figures: [["blocked_avg", "blocked"], ["iowait_avg", "of these on I/O"]] }),
      lineChart({ title: "Switches per second", figures: [["voluntary_switches_per_s", "voluntary"], ["involuntary_switches_per_s", "involuntary"]] }),
      lineChart({ title: "Births and deaths per second", figures: [["tasks_arrived_per_s", "arrived"], ["tasks_completed_per_s", "completed"]] }),
      timeTakenAway()),
  },
  {
    id: "cpus", title: "CPUs", about: () => "Busy share of each CPU.",
    fill: () => RECORDINGS.filter((r) => r.cpus.numbers.length).map((r) =>
      titled(r.letter ? `${r.letter}: ${r.name}` : "Busy", cpuChart(r), scale("0 %", "100 %"))),
  },
  {
    id: "groups", title: "Who used and who waited for the CPUs",
    about: () => "Over the whole recording. Thick bar: CPU time; thin bar: wait; each beside the largest of its kind. CPUs: CPU time / length of the recording. Percentiles of groups are at most 50 % high.",
    fill: () => groupsTable(),
  },
  {
    id: "preemptions", title: "Who preempted whom",
    about: () => "Rows lost their CPU while runnable, columns took it. The time is what the victims then waited for a CPU, whichever tasks ran meanwhile; below it, how often and the mean. (idle): no task took it, as when a bandwidth limit stops a task.",
    fill: () => preemptionSection(),
  },
  {
    id: "losses", title: "What was lost, and the cost of looking",
    about: () => "A window whose loss counters are all 0 is exact. Others are marked red below every time axis.",
    fill: () => [...lossList(), ...pairsOf(
      lineChart({ title: "Collector, share of a CPU", figures: [["collector_cpu_cpus", "collector"], ["bpf_cpus", "BPF programs"]], text: (v) => percent(v, 2) }))],
  },
  { id: "figures", title: "All figures", about: () => "Of the time shown. Times and counts are of the whole host; lives, bursts, waits and fairness of the selected tasks.", fill: () => [figuresTable()] },
  { id: "origin", title: "Where this comes from", fill: () => origin() },
];

function otherDifferences() {
  const { unlike } = PAGE.comparison;
  return unlike.length ? [h("p", { class: "caution", text: `The recordings also differ in ${unlike.join(", ")}: a change may come from there.` })] : [];
}

const pairsOf = (...nodes) => (nodes.some(Boolean) ? [h("div", { class: "pairs" }, ...nodes.filter(Boolean))] : []);

// CPU time that the hypervisor or a bandwidth limit took looks like waiting or running. If there is any, this chart shows
// it, so that the reader does not blame the scheduler or a task for it.
function timeTakenAway() {
  const figures = [["steal_cpus", "taken by the hypervisor"], ["throttled_cpus", "throttled by a cgroup's limit"]];
  const some = figures.filter(([name]) => RECORDINGS.some((r) => r.value(name, WHOLE) > 0));
  return some.length ? lineChart({ title: "Not the scheduler's doing, in CPUs", figures: some }) : null;
}

function waitSection() {
  const nodes = (name) => sameScale(RECORDINGS.map((recording) => new Heat(recording, name))).map((heat) => {
    const { recording } = heat;
    const title = recording.letter ? `${recording.letter}: ${recording.name}` : PAGE.samples[name].label;
    return titled(title, heat.chart, scale("1/s", `${count(Math.max(1, heat.most))}/s`));
  });
  if (!RECORDINGS.some((r) => r.filtered)) return nodes("wait");
  const places = { wait: nodes("wait"), selected_wait: nodes("selected_wait") }, place = h("div", {}, ...places.selected_wait);
  const pick = choice("waits of", { selected_wait: "selected tasks", wait: "all tasks" }, "selected_wait", (name) => place.replaceChildren(...places[name]));
  return [h("div", { class: "tools" }, pick), place];
}

// Two heat maps can be compared only if their colours and heights have the same scale.
function sameScale(heats) {
  const of = (name, pick) => pick(...heats.map((heat) => heat[name]));
  const scale = { first: of("first", Math.min), last: of("last", Math.max), most: of("most", Math.max) };
  return heats.map((heat) => Object.assign(heat, scale));
}

// ---- tiles ----

function tiles() {
  const place = h("div", { class: "tiles" });
  const tile = (name, figure, more = () => "") => h("div", { class: "tile" }, h("div", { class: "name", text: name }),
    COMPARED
      ? h("div", { class: "figure pair" }, ...RECORDINGS.map((r) => h("div", {}, keyOf(r), figure(r))))
      : h("div", { class: "figure", text: figure(RECORDINGS[0]) }),
    h("div", { class: "more", text: COMPARED ? "" : more(RECORDINGS[0]) }));
  const waits = SHOWN_SAMPLES[3], at = (name, q) => (r) => duration(r.merged(name, view.range).percentile(q));
  const rest = (name) => (r) => {
    const found = r.merged(name, view.range);
    return found.n ? `median ${duration(found.percentile(0.5))} · n\u00a0${count(found.n)}` : "no sample";
  };
  const draw = () => place.replaceChildren(
    tile("wait, p99", at(waits, 0.99), rest(waits)),
    tile("turnaround, p99", at("tat", 0.99), rest("tat")),
    tile("response, p99", at("rt", 0.99), rest("rt")),
    tile("burst TAT, p99", at("burst_tat", 0.99), rest("burst_tat")),
    tile("fairness J", (r) => inUnit(r.value("fairness_jain", view.range), "1"), (r) => `CV ${inUnit(r.value("fairness_cv", view.range), "1")}`),
    tile("run queue", (r) => significant(r.value("runqueue_length_avg", view.range) ?? 0), (r) => `${significant(r.value("running_avg", view.range) ?? 0)} running`),
    tile("CPUs busy", (r) => percent(busyShare(r), 0), (r) => `${r.cpus.numbers.length} CPUs`));
  view.listeners.push(draw);
  draw();
  return place;
}

function busyShare(recording) {
  const idle = recording.value("idle_share", view.range);
  return idle === null ? null : 1 - idle;
}

// ---- losses and origin ----

const LOST = {
  ring_dropped: "rows folded into `other`: the ring was full",
  state_failed: "tasks whose state could not be allocated or read",
  samples_discarded: "samples thrown away for a negative duration",
  programs_skipped: "events the kernel did not deliver",
};

function lossList() {
  const exact = (r) => h("p", {}, keyOf(r), h("span", { class: "exact", text: " Nothing was lost: every window is exact." }));
  const rows = RECORDINGS.filter((r) => r.losses(WHOLE).length).flatMap((r) => r.losses(WHOLE).map(([name, n]) => {
    const windows = r.lost[name].filter(Boolean).length;
    return h("tr", {}, h("td", {}, keyOf(r), name), cell(count(n)), cell(`in ${count(windows)} of ${count(r.length)} ${r.length < Number(r.facts.windows) ? "bins of time" : "windows"}`), cell(LOST[name] ?? "", { class: "left wrap" }));
  }));
  const table = rows.length ? [scrolling(h("table", {}, head("counter", "lost", "where", toTheLeft("what")), h("tbody", {}, ...rows)))] : [];
  return [...RECORDINGS.filter((r) => !r.losses(WHOLE).length).map(exact), ...table];
}

function origin() {
  return RECORDINGS.map((r) => {
    const facts = {
      recording: r.name, host: r.facts.host, kernel: r.facts.kernel, scheduler: r.facts.scheduler, filter: r.facts.filter,
      "imported from": r.facts.origin || "nowhere: recorded by schedtel", "nominal window": r.facts.window, begins: wallClock(r.wall_us), length: `${moment(r.duration)}, ${r.facts.windows} windows`,
      "drawn as": `${count(r.length)} bins of time${r.length < Number(r.facts.windows) ? `, each of up to ${Math.max(...r.windows)} windows, merged exactly` : ", a window each"}`,
      definitions: `version ${r.facts.definitions}`, "made by": `schedtel ${PAGE.version}, ${PAGE.made}`,
    };
    return h("div", {}, COMPARED ? h("h3", {}, keyOf(r), ` ${r.letter}`) : null,
      h("dl", {}, ...Object.entries(facts).flatMap(([name, value]) => [h("dt", { text: name }), h("dd", { text: value })])));
  });
}
