// The headline of a page about recordings.

function headline() {
  const top = document.getElementById("head");
  const names = RECORDINGS.map((r) => r.name).join(" and ");
  top.append(h("h1", {}, h("small", { text: COMPARED ? "schedtel compare" : "schedtel report" }), names));
  for (const r of RECORDINGS) {
    const lost = r.losses(WHOLE).reduce((total, [, n]) => total + n, 0);
    const facts = { host: r.facts.host, Linux: r.facts.kernel, scheduler: r.facts.scheduler, filter: r.facts.filter, window: r.facts.window, length: moment(r.duration), begins: r.wall_us === null ? "" : wallClock(r.wall_us).slice(0, 19) + " UTC", "imported from": r.facts.origin };
    const chips = Object.entries(facts).filter(([, value]) => value).map(([name, value]) => h("li", {}, h("b", { text: name }), value));
    const state = h("li", { class: lost ? "bad" : "good", text: lost ? `${count(lost)} events lost` : "nothing lost, exact" });
    top.append(h("div", { class: "who" }, keyOf(r), COMPARED ? h("b", { text: `${r.letter} ${r.name}` }) : null, h("ul", { class: "chips" }, ...chips, state)));
  }
}
