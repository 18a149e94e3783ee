// The decisions of a log, which schedtel/agent/page.py put on the page: bins of one or several in a row.

class Decisions extends Bins {
  // The title of a bin in tooltips.
  when(i) {
    const many = this.decisions[i] > 1 ? ` · ${count(this.decisions[i])} decisions` : "";
    return `${moment(this.start[i], 1e6)}${many} · ${wallClock(this.wall_us[i])}`;
  }

  // The arm that ran most often in a bin.
  arm(i) {
    const most = this.ran.reduce((best, counts, k) => (counts[i] > this.ran[best][i] ? k : best), 0);
    return this.arms[most];
  }
}

const RECORDINGS = PAGE.recordings.map((source, i) => new Decisions(source, i));
const LOG = RECORDINGS[0];

// A reward as the change of cost that it stands for: -ln of the cost beside the default arm's.
function cost(reward) {
  if (reward === null || reward === undefined) return "–";
  const change = 100 * Math.expm1(Math.min(50, -reward));
  return `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(1)} %`;
}

function costBetween(low, high) {
  return low === null || high === null ? "" : ` [${cost(high)}, ${cost(low)}]`;
}

function signed(value, digits = 3) {
  return value === null || value === undefined ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
}

function headline() {
  const facts = { policy: PAGE.facts.policy, decisions: count(Number(PAGE.facts.decisions)), length: moment(LOG.duration), begins: PAGE.facts.begins };
  const chips = Object.entries(facts).map(([name, value]) => h("li", {}, h("b", { text: name }), value));
  document.getElementById("head").append(h("h1", {}, h("small", { text: "schedtel agent report" }), LOG.name),
    h("div", { class: "who" }, h("ul", { class: "chips" }, ...chips)));
}
