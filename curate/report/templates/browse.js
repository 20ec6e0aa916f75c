"use strict";
const { rows, kept, first } = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const element = (name, text, className) => {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
};

const table = byId("table"), filter = byId("filter"), pages = byId("pages");
const [previous, next] = pages.querySelectorAll("button");
const state = { column: -1, falling: true, page: 0 };

function chosen() {
  const words = filter.querySelector("input").value.toLowerCase();
  const wanted = [...filter.querySelectorAll("select")].filter((s) => s.value).map((s) => [Number(s.dataset.column), s.value]);
  const found = rows.filter(
    (row) => (row[0].toLowerCase().includes(words) || row[1].toLowerCase().includes(words)) && wanted.every(([c, v]) => row[c] === v),
  );
  if (state.column < 0) return found;
  const sign = state.falling ? -1 : 1, c = state.column;
  const compare = (a, b) => (typeof a === "number" ? a - b : a < b ? -1 : a > b ? 1 : 0);
  return found.sort((a, b) => (a[c] === null) - (b[c] === null) || sign * compare(a[c], b[c]) || compare(a[0], b[0]));
}

function show() {
  const found = chosen(), sides = Math.max(1, Math.ceil(found.length / first));
  state.page = Math.min(state.page, sides - 1);
  const body = found.slice(state.page * first, (state.page + 1) * first).map((row) => {
    const line = document.createElement("tr");
    row.forEach((value, c) => {
      const text = value === null ? "–" : typeof value === "number" ? value.toFixed(3) : value;
      const cell = element(c ? "td" : "th", text, c && c < 3 ? "left" : "");
      if (!c) cell.scope = "row";
      line.append(cell);
    });
    return line;
  });
  table.tBodies[0].replaceChildren(...body);
  filter.querySelector("output").textContent = `${found.length} of ${rows.length}, page ${state.page + 1} of ${sides}`;
  previous.disabled = state.page === 0;
  next.disabled = state.page === sides - 1;
}

[...table.tHead.rows[0].cells].forEach((head, c) => {
  const button = element("button", head.textContent);
  button.type = "button";
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    state.falling = state.column === c ? !state.falling : c > 2;
    state.column = c;
    state.page = 0;
    [...table.tHead.rows[0].cells].forEach((cell) => cell.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", state.falling ? "descending" : "ascending");
    show();
  });
});
filter.addEventListener("input", () => { state.page = 0; show(); });
filter.addEventListener("submit", (event) => event.preventDefault());
previous.addEventListener("click", () => { state.page -= 1; show(); });
next.addEventListener("click", () => { state.page += 1; show(); });

const threshold = byId("threshold"), range = threshold.querySelector("input");
function keep() {
  const [at, count, share, label, of] = kept[Math.round(100 * Number(range.value))];
  threshold.querySelector("output").textContent =
    `at ${at.toFixed(2)}: ${count} ${count === 1 ? "sample" : "samples"}, ${(100 * share).toFixed(1)}%; least kept class: ${label}, ${of}`;
}
range.addEventListener("input", keep);
threshold.addEventListener("submit", (event) => event.preventDefault());

for (const part of [filter, pages, threshold]) part.hidden = false;
byId("thresholds").hidden = true;
document.querySelectorAll(".without").forEach((part) => part.remove());
keep();
show();
