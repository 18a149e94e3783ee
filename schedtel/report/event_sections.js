// The sections of a page about events: see sections.js for what a section has.

const SECTIONS = [
  {
    id: "cpus", title: "CPUs",
    about: () => "A lane for each CPU, a colour for each thread. An arrow leads from the CPU of the waker to the run that the wakeup led to. Drag to zoom.",
    fill: () => [...cut(), searchTool(), titled("What each CPU runs", cpuChart())],
  },
  {
    id: "threads", title: "Threads",
    about: () => `The ${MOST_LANES} threads that ran or waited longest in the time shown. A bar is a run, its colour the CPU; the red line before it, the wait for the CPU.`,
    fill: () => [titled("What becomes of each thread", threadChart())],
  },
  { id: "waits", title: "Longest waits", about: () => "In the time shown, of the threads that are searched for.", fill: () => [waitsTable()] },
  { id: "losses", title: "Losses", fill: () => [PAGE.gaps.length ? gapsTable() : h("p", { class: "exact", text: "No event of this interval is known to be missing." })] },
  { id: "origin", title: "Where this is from", fill: () => [h("dl", {}, ...Object.entries(PAGE.facts).filter(([, value]) => value).flatMap(([name, value]) => [h("dt", { text: name }), h("dd", { text: value })]))] },
];

// A page has room for so many runs.
function cut() {
  if (PAGE.asked_ns <= SPAN.duration) return [];
  return [h("p", { class: "caution", text: `The page has the first ${duration(SPAN.duration)} of the ${duration(PAGE.asked_ns)} that were asked for: ${count(COUNT)} runs. --begin and --duration choose another part.` })];
}

function searchTool() {
  const told = h("span", { class: "range" });
  const update = () => { told.textContent = search.text ? `${count([...BY_THREAD.keys()].filter(found).length)} of ${count(BY_THREAD.size)} threads` : `${count(BY_THREAD.size)} threads`; };
  const input = h("input", { id: "search", type: "search", placeholder: "name or tid", "aria-label": "Find threads by name or tid", oninput: () => {
    search.text = input.value.toLowerCase();
    search.listeners.forEach((listen) => listen());
  } });
  search.listeners.push(update);
  update();
  return h("div", { class: "tools" }, h("label", {}, "Find ", input), told);
}

const MOST_WAITS = 20;

function waitsTable() {
  const place = following(head("thread", "waited", "until", "on CPU", { left: "woken by" }, ""), longest);
  search.listeners.push(() => view.listeners.forEach((listen) => listen()));
  return place;
}

function longest() {
  const rows = [];
  for (const [thread, runs] of BY_THREAD) if (found(thread)) rows.push(...inRange(runs, view.range).filter((i) => RUNS.wait[i] > 0));
  rows.sort((a, b) => RUNS.wait[b] - RUNS.wait[a]);
  return rows.slice(0, MOST_WAITS).map((i) => h("tr", {},
    cell(PAGE.threads[RUNS.thread[i]], { class: "name" }), cell(duration(RUNS.wait[i])), cell(exactly(RUNS.begin[i])),
    cell(String(RUNS.cpu[i])), cell(wokenBy(i) ?? "", { class: "left" }),
    h("td", {}, h("button", { text: "Show", onclick: () => view.show(readyAt(i) - RUNS.wait[i] * 0.3, RUNS.begin[i] + RUNS.wait[i] * 0.3) }))));
}

function gapsTable() {
  const rows = PAGE.gaps.slice(0, 200).map((gap) => h("tr", {}, cell(gap.cpu === null ? "any" : String(gap.cpu)), cell(moment(gap.from, 1e3)), cell(moment(gap.to, 1e3)), cell(count(gap.events)), cell(gap.cause, { class: "left" })));
  return scrolling(h("table", {}, head("CPU", "from", "to", "events", { left: "cause" }), h("tbody", {}, ...rows)));
}
