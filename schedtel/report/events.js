// The runs of threads on CPUs that schedtel/eventlog/page.py put on the page.

const RUNS = PAGE.runs, COUNT = RUNS.begin.length;

// What the toolbar and the charts ask of a recording. There are no bins: an event has its own time.
class Interval {
  constructor({ name, duration }) {
    Object.assign(this, { name, duration, start: [], end: [], lost: {}, letter: "" });
    this.length = Math.max(2, duration / 200); // the shortest range on display is 400 ns
  }

  within() { return [0, 0]; }
}

const RECORDINGS = PAGE.recordings.map((source) => new Interval(source));
const SPAN = RECORDINGS[0];
// The words that a thread's name must contain to be found; "" finds all.
const search = { text: "", listeners: [] };
const found = (thread) => !search.text || printable(PAGE.threads[thread]).toLowerCase().includes(search.text);

const endOf = (i) => RUNS.begin[i] + RUNS.length[i];
const readyAt = (i) => RUNS.begin[i] - RUNS.wait[i];

// Runs by CPU and by thread, each in the order of time.
function grouped(values) {
  const groups = new Map();
  for (let i = 0; i < COUNT; i++) {
    if (!groups.has(values[i])) groups.set(values[i], []);
    groups.get(values[i]).push(i);
  }
  return groups;
}
const BY_CPU = grouped(RUNS.cpu), BY_THREAD = grouped(RUNS.thread);
const CPUS = [...new Set([...BY_CPU.keys(), ...RUNS.waker_cpu.filter((cpu) => cpu >= 0)])].sort((a, b) => a - b);

// The runs of a list, whose waits and runs do not overlap, that reach into a range of time.
function inRange(runs, [from, to]) {
  let low = 0, high = runs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (endOf(runs[middle]) < from) low = middle + 1;
    else high = middle;
  }
  let last = low;
  while (last < runs.length && readyAt(runs[last]) <= to) last++;
  return runs.slice(low, last);
}

// The part of a run that is in a range of time.
const ranIn = (i, [from, to]) => Math.max(0, Math.min(to, endOf(i)) - Math.max(from, RUNS.begin[i]));

// Left in which state, in words. Letters are those of ps(1).
const STATE_WORDS = { R: "gave way", "R+": "was preempted", S: "slept", D: "slept, uninterruptible", I: "idle", T: "stopped", t: "traced", X: "ended", Z: "ended", P: "parked" };
const leftHow = (i) => (RUNS.state[i] < 0 ? "still on the CPU" : `${STATE_WORDS[PAGE.states[RUNS.state[i]]]} (${PAGE.states[RUNS.state[i]]})`);

function wokenBy(i) {
  if (RUNS.waker[i] >= 0) return `${PAGE.threads[RUNS.waker[i]]} on CPU ${RUNS.waker_cpu[i]}`;
  return RUNS.waker_cpu[i] >= 0 ? `an interrupt on CPU ${RUNS.waker_cpu[i]}` : null;
}

// A moment with as many digits as a hundredth of the range on display.
const exactly = (ns) => moment(ns, (view.range[1] - view.range[0]) / 1000);

function headline() {
  const facts = { host: PAGE.facts.host, Linux: PAGE.facts.kernel, filter: PAGE.facts.filter, events: count(PAGE.events), length: duration(SPAN.duration), begins: PAGE.facts.begins };
  const chips = Object.entries(facts).filter(([, value]) => value).map(([name, value]) => h("li", {}, h("b", { text: name }), value));
  const lost = PAGE.gaps.reduce((total, gap) => total + gap.events, 0);
  const state = h("li", { class: lost ? "bad" : "good", text: lost ? `${count(lost)} events lost` : "nothing lost, exact" });
  document.getElementById("head").append(h("h1", {}, h("small", { text: "schedtel report" }), SPAN.name),
    h("div", { class: "who" }, h("ul", { class: "chips" }, ...chips, state)));
}
