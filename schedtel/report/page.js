// The page: toolbar, sections; theme and print. Its headline is made by headline().

function toolbar(sections) {
  const range = h("span", { class: "range", id: "range" });
  const all = h("button", { id: "reset", text: "Show all", onclick: () => view.show(...WHOLE) });
  const theme = h("button", { id: "theme", onclick: () => setTheme(dark() ? "light" : "dark") });
  themed.push(() => { theme.textContent = dark() ? "Light" : "Dark"; theme.setAttribute("aria-label", dark() ? "Light theme" : "Dark theme"); });
  const update = () => {
    const [from, to] = view.range, step = (to - from) / 100;
    range.replaceChildren("Time ", h("b", { text: `${moment(from, step)} – ${moment(to, step)}` }), ` of ${moment(WHOLE[1], WHOLE[1] / 100)}`);
    all.disabled = !view.zoomed;
  };
  view.listeners.push(update);
  update();
  const hint = h("span", { class: "range hint", text: "drag over a chart to zoom; or focus it and use ← → + − 0" });
  document.getElementById("bar").append(range, all, hint, h("span", { class: "space" }), theme);
  const links = sections.map(({ id, title }) => h("a", { href: `#${id}`, text: title }));
  document.getElementById("head").append(h("nav", { class: "toc", "aria-label": "Sections" }, ...links));
}

function build() {
  const main = document.getElementById("main"), built = [];
  for (const section of SECTIONS) {
    const nodes = section.fill();
    if (!nodes?.length) continue;
    const about = section.about?.();
    const title = section.plain ? [] : [h("h2", { text: section.title }), about ? h("p", { class: "about", text: about }) : null];
    main.append(h("section", { id: section.id, class: section.plain ? "plain" : null, "aria-label": section.title }, ...title, ...nodes));
    built.push(section);
  }
  return built;
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  themed.forEach((paint) => paint());
}

const preferred = matchMedia("(prefers-color-scheme: dark)");
document.documentElement.dataset.theme = preferred.matches ? "dark" : "light";
document.getElementById("main").replaceChildren();
headline();
toolbar(build());
setTheme(document.documentElement.dataset.theme);
preferred.addEventListener("change", (e) => setTheme(e.matches ? "dark" : "light"));

// Print with the light theme.
let before = null;
addEventListener("beforeprint", () => { before = document.documentElement.dataset.theme; setTheme("light"); });
addEventListener("afterprint", () => { if (before) setTheme(before); });
document.getElementById("foot").append(`Made by schedtel ${PAGE.version}, ${PAGE.made}. This file may name the commands of other users: mind whom you give it to.`);
