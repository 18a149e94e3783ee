// The longest waits: who waited, for how long, when, and behind whom. Those that overlap the range of time on display.

const FEW_WAITS = 15;

function longestWaits() {
  if (!RECORDINGS.some((r) => r.waits.length)) return null;
  const state = { few: true }, place = h("div");
  const draw = () => place.replaceChildren(...waitRows(state, draw));
  view.listeners.push(draw);
  draw();
  return [place];
}

function waitRows(state, draw) {
  const [from, to] = view.range;
  const found = RECORDINGS.flatMap((r) => r.waits.filter((w) => w.end > from && w.end - w.wait < to).map((wait) => [r, wait]));
  found.sort(([, a], [, b]) => b.wait - a.wait);
  const shown = state.few ? found.slice(0, FEW_WAITS) : found;
  const titles = ["task", toTheLeft("tid"), "CPU", toTheLeft("after"), "wait", toTheLeft(""), "from", toTheLeft("behind")];
  const more = found.length > FEW_WAITS
    ? h("button", { text: state.few ? `Show ${found.length}` : `Show ${FEW_WAITS}`, onclick: () => { state.few = !state.few; draw(); } }) : null;
  return [scrolling(h("table", {}, head(...titles), h("tbody", {}, ...shown.map(([r, wait]) => waitRow(r, wait))))), more].filter(Boolean);
}

function waitRow(recording, wait) {
  const left = { class: "left" };
  return h("tr", {}, h("td", { class: "name", title: wait.comm }, keyOf(recording), wait.comm), cell(String(wait.tid), left),
    cell(String(wait.cpu ?? "?")), cell(wait.kind, left), cell(`${wait.older ? "≥ " : ""}${duration(wait.wait)}`), cell(wait.goes_on ? "goes on" : "", left),
    cell(wait.older ? "before tracing" : moment(wait.end - wait.wait)), cell(wait.behind ?? "?", left));
}
