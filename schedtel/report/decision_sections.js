// The sections of a page about decisions: see sections.js for what a section has.

const SECTIONS = [
  { id: "glance", title: "At a glance", plain: true, fill: () => [glance()] },
  {
    id: "arms", title: "What ran, and what might have",
    about: () => "A lane for each arm. Colour: the chance that the arm had in a decision; no colour: it was barred, or a guard decided. The bar below says that it ran; the number, how often. Drag to zoom.",
    fill: () => [titled("Arms", armChart(), scale("0 %", "100 %"))],
  },
  {
    id: "rewards", title: "Rewards",
    about: () => "A reward is −ln of the cost beside the default arm’s: 0 is as good, 0.69 is half the cost. The line is the mean of the last 50 rewards, the band its interval (95 %).",
    fill: () => [signedChart({
      title: "Reward of a decision", text: (v) => `${signed(v)} (cost ${cost(v)})`,
      traces: [
        { label: "a decision", paint: "var(--faint)", values: LOG.reward, dots: true },
        { label: "running mean", paint: "var(--s0)", values: LOG.running.mean, low: LOG.running.low, high: LOG.running.high },
      ],
    })],
  },
  {
    id: "regret", title: "Beside other policies",
    about: () => "What other policies would have earned in the same decisions, by doubly robust estimates: as a change of the cost against the default arm. The best static arm is known in hindsight only.",
    fill: () => (PAGE.judged.why ? [h("p", { class: "caution", text: PAGE.judged.why })] : [regretWords(), regretChart(), judgedTable()]),
  },
  {
    id: "guard", title: "What the guard did",
    about: () => "When a guard decided in the policy’s place, or stepped in, and why.",
    fill: () => (PAGE.guard.all ? guardTables() : [h("p", { class: "exact", text: "No guard decided." })]),
  },
  { id: "table", title: "Arms", about: () => "Rewards are of the decisions in which the arm ran, whatever the load was then: arms that ran in other loads cannot be compared by them. Intervals are by batch means, of 20 rewards or more.", fill: () => [armTable()] },
  { id: "origin", title: "Where this is from", fill: () => [h("dl", {}, ...Object.entries(PAGE.facts).flatMap(([name, value]) => [h("dt", { text: name }), h("dd", { text: value })]))] },
];

function glance() {
  const tile = (name, figure, more) => h("div", { class: "tile" }, h("div", { class: "name", text: name }), h("div", { class: "figure", text: figure }), h("div", { class: "more", text: more }));
  const place = h("div", { class: "tiles" });
  const draw = () => {
    const [first, last] = LOG.within(view.range), sum = (values) => values.slice(first, last).reduce((a, b) => a + b, 0);
    const all = sum(LOG.decisions), known = LOG.reward.slice(first, last).filter((r) => r !== null);
    const mean = known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
    const runs = LOG.ran.map(sum), most = runs.indexOf(Math.max(...runs)), mid = last > first ? LOG.running.mean[last - 1] : null;
    place.replaceChildren(
      tile("decisions", count(all), `${count(sum(LOG.guarded))} by a guard`),
      tile("cost, mean", cost(mean), "against the default arm"),
      tile("cost, at the end", cost(mid), "the last 50 rewards"),
      tile("most often", percent(runs[most] / Math.max(1, all), 0), LOG.arms[most]),
      tile("regret a decision", PAGE.judged.why ? "–" : signed(PAGE.judged.mean_regret.value), PAGE.judged.why ? "not known" : "against the best static arm, of all time"));
  };
  view.listeners.push(draw);
  draw();
  return place;
}

function regretWords() {
  const { value, low, high } = PAGE.judged.mean_regret;
  const side = low > 0 ? "the agent earned less than that arm would have" : high < 0 ? "the agent earned more than that arm would have" : "it is not shown which of the two earned more";
  return h("p", { class: "about", text: `The best static arm in hindsight is ${PAGE.judged.best}. The agent’s regret is ${signed(value)} a decision [${signed(low)}, ${signed(high)}]: ${side}.` });
}

function regretChart() {
  return signedChart({ title: "Regret against the best static arm, summed", text: (v) => signed(v, 2), traces: [{ label: "regret", paint: "var(--s1)", values: PAGE.judged.regret }] });
}

function judgedTable() {
  const row = ({ policy, trusted, value, low, high, ess }) => h("tr", {}, cell(policy, { class: "name" }),
    cell(cost(value)), cell(`${costBetween(low, high)}${trusted ? "" : " ?"}`), cell(count(ess)));
  return h("div", {}, scrolling(h("table", {}, head("policy", "cost", "interval", "effective decisions"), h("tbody", {}, ...PAGE.judged.rows.map(row)))),
    PAGE.judged.rows.every(({ trusted }) => trusted) ? null : h("p", { class: "about", text: "? too little of the log is like it: fewer than 30 effective decisions, or arms without a chance" }));
}

function guardTables() {
  const reasons = PAGE.guard.reasons.map(([reason, n]) => h("tr", {}, cell(reason, { class: "wrap" }), cell(count(n))));
  const last = PAGE.guard.last.map(([when, window, arm, reason]) => h("tr", {}, cell(when), cell(String(window)), cell(arm, { class: "left name" }), cell(reason, { class: "left" })));
  return [scrolling(h("table", {}, head("why", "times"), h("tbody", {}, ...reasons))),
    h("h3", { text: PAGE.guard.all > last.length ? `The last ${last.length}` : "One by one" }),
    scrolling(h("table", {}, head("when", "window", toTheLeft("arm that then ran"), toTheLeft("why")), h("tbody", {}, ...last)))];
}

function armTable() {
  const all = PAGE.by_arm.reduce((total, { decisions }) => total + decisions, 0);
  const row = ({ arm, decisions, by_guard, chance, reward, low, high }) => h("tr", {}, cell(arm, { class: "name" }),
    cell(count(decisions)), cell(percent(decisions / all)), cell(by_guard ? count(by_guard) : ""), cell(chance === null ? "–" : percent(chance)),
    cell(signed(reward)), cell(cost(reward)), cell(costBetween(low, high)));
  return scrolling(h("table", {}, head("arm", "ran", "share", "by a guard", "mean chance", "mean reward", "cost", "interval"), h("tbody", {}, ...PAGE.by_arm.map(row))));
}
