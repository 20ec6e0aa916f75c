// The charts: a scatter that is binned while there are many points, the histogram of the gap, bars of classes.
// Nothing the user has named reaches the charting library: it would read it as markup.

import { byId, colour, count, el, number, plain, short } from "./dom.js";

const CONFIG = { displayModeBar: false, responsive: true, doubleClick: false, scrollZoom: false };
const MOST_CORNERS = 24;
// What a point says, the first that is true: its colour, its shape in the chart and in the legend, and what it means.
const KINDS = {
  marked: ["ink", "square", "■", "marked"],
  broken: ["orange", "circle", "●", "claimed broken"],
  swapped: ["purple", "triangle-up", "▲", "claimed swapped"],
  wrong: ["purple", "diamond", "◆", "claimed wrong label"],
  none: ["blue", "circle", "●", "no claim"],
};

// The charting library is the largest part of the page: the rest does not wait for it.
export function library() {
  if (window.Plotly) return Promise.resolve();
  return new Promise((done) => byId("library").addEventListener("load", done, { once: true }));
}

function layout(more) {
  const axis = { gridcolor: colour("line"), zeroline: false, linecolor: colour("line"), fixedrange: true };
  return {
    margin: { l: 44, r: 8, t: 8, b: 38 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("ink"), size: 12, family: "system-ui, sans-serif" },
    showlegend: false,
    hovermode: "closest",
    ...more,
    xaxis: { ...axis, ...more.xaxis },
    yaxis: { ...axis, ...more.yaxis },
  };
}

// A heat map of the cells; z is the logarithm, cells without samples are transparent.
function heat(summary, place, shade, part) {
  const { x, y, bins, cells } = summary.scatter;
  const z = Array.from({ length: bins }, () => new Array(bins).fill(null));
  for (const cell of cells) if (cell[place]) z[cell[1]][cell[0]] = Math.log10(1 + cell[place]);
  const step = (range) => (range[1] - range[0]) / bins;
  return {
    type: "heatmap", z, hoverinfo: "none", showscale: false, opacity: part, zmin: 0,
    x0: x[0] + step(x) / 2, dx: step(x), y0: y[0] + step(y) / 2, dy: step(y),
    colorscale: [[0, colour("paper")], [0.15, mixed(shade, 0.25)], [1, colour(shade)]],
  };
}

function mixed(name, share) {
  const parts = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
  const [paper, ink] = [parts(colour("paper")), parts(colour(name))];
  return `rgb(${paper.map((p, i) => Math.round(p + share * (ink[i] - p))).join(",")})`;
}

function kind([, , , , mark, broken, swapped, wrong]) {
  return mark ? "marked" : broken ? "broken" : swapped ? "swapped" : wrong ? "wrong" : "none";
}

// What says most is drawn last, and so covers what says less.
function points(summary) {
  const rank = Object.keys(KINDS).reverse();
  const drawn = [...summary.points].sort((a, b) => rank.indexOf(kind(a)) - rank.indexOf(kind(b)));
  const kinds = drawn.map((p) => KINDS[kind(p)]);
  const marker = { color: kinds.map(([name]) => colour(name)), symbol: kinds.map(([, shape]) => shape) };
  return {
    type: "scatter", mode: "markers", hoverinfo: "none",
    x: drawn.map((p) => p[1]), y: drawn.map((p) => p[2]),
    customdata: drawn.map((p) => p[0]),
    marker: { ...marker, size: kinds.map(([, shape]) => (kinds.length > 600 ? 5 : 7) + (shape === "circle" ? 0 : 2)), opacity: 0.75 },
    selected: { marker: { opacity: 0.75 } }, unselected: { marker: { opacity: 0.75 } },
  };
}

// Draws the scatter. `on` has lasso(columns and corners), box(x range, y range), zoom(x range, y range), open(id).
export function scatter(summary, state, tool, on) {
  const [x, y] = state.axes;
  const narrowed = summary.count < summary.total;
  const { x: xs, y: ys } = summary.scatter;
  const traces = [];
  if (narrowed || !summary.points) traces.push(heat(summary, 2, summary.points || narrowed ? "grey" : "blue", narrowed ? 0.55 : 1));
  if (summary.points) traces.push(points(summary));
  else {
    if (narrowed) traces.push(heat(summary, 3, "blue", 1));
    // The tools that draw a selection work only where there are points: two that cannot be seen.
    traces.push({ type: "scatter", mode: "markers", x: xs, y: ys, marker: { opacity: 0 }, hoverinfo: "none" });
  }
  const made = layout({
    dragmode: tool, selections: [], shapes: outlines(state), uirevision: "still",
    xaxis: { title: { text: x }, range: xs, fixedrange: false }, yaxis: { title: { text: y }, range: ys, fixedrange: false },
  });
  made.newselection = { line: { color: colour("orange"), width: 2 } };
  const node = byId("scatter");
  Plotly.react(node, traces, made, CONFIG);
  listen(node, summary, state, on);
  byId("scatterSays").replaceChildren(...legend(summary));
}

function listen(node, summary, state, on) {
  node.removeAllListeners?.();
  node.on("plotly_selected", (event) => {
    if (event?.lassoPoints) on.lasso(state.axes, corners(event.lassoPoints));
    else if (event?.range) on.box(event.range.x, event.range.y);
  });
  node.on("plotly_relayout", (change) => {
    if ("xaxis.range[0]" in change) {
      on.zoom([change["xaxis.range[0]"], change["xaxis.range[1]"]], [change["yaxis.range[0]"], change["yaxis.range[1]"]]);
    }
  });
  node.on("plotly_doubleclick", () => on.zoom(null));
  node.on("plotly_click", (event) => event.points[0]?.customdata && on.open(event.points[0].customdata));
  node.on("plotly_hover", (event) => tip(event, summary));
  node.on("plotly_unhover", () => (byId("tip").hidden = true));
}

function tip(event, summary) {
  const at = event.points[0];
  const found = at?.customdata && summary.points?.find((p) => p[0] === at.customdata);
  if (!found) return;
  const [id, x, y, label, mark, broken, swapped, wrong] = found;
  const node = byId("tip");
  const said = [mark && `marked ${mark}`, broken && `broken: ${broken}`, swapped && `swapped: ${swapped}`, wrong && "label is wrong"].filter(Boolean).join(", ");
  node.replaceChildren(el("strong", {}, short(label)), el("div", {}, short(id)), el("div", {}, `${number(x)}, ${number(y)}`), el("div", {}, said));
  node.hidden = false;
  node.style.left = `${Math.min(event.event.clientX + 12, innerWidth - 200)}px`;
  node.style.top = `${event.event.clientY + 12}px`;
}

function legend(summary) {
  const shown = summary.points ? `${count(summary.points.length)} ${summary.points.length === 1 ? "point" : "points"}` : "the darker, the more samples (logarithmic)";
  const dot = ([name, , sign, text]) => el("span", { class: "kind", style: `color: var(--${name})` }, `${sign} ${text}`);
  const there = new Set((summary.points ?? []).map(kind));
  const named = ["none", "broken", "swapped", "wrong", "marked"].filter((k) => there.has(k) || !["swapped", "wrong"].includes(k));
  return [shown, ...(summary.points ? named.map((k) => dot(KINDS[k])) : [])];
}

// The lasso or box that is asked for, as outlines.
function outlines(state) {
  const line = { color: colour("orange"), width: 2 };
  if (state.lasso?.x === state.axes[0] && state.lasso.y === state.axes[1]) {
    const path = state.lasso.corners.map(([x, y], i) => `${i ? "L" : "M"}${x},${y}`).join("");
    return [{ type: "path", path: `${path}Z`, line }];
  }
  const [x, y] = state.axes.map((name) => state.ranges[name]);
  if (x && y) return [{ type: "rect", x0: x[0], x1: x[1], y0: y[0], y1: y[1], line }];
  return [];
}

// At most MOST_CORNERS of the drawn ones, evenly taken.
function corners(drawn) {
  const step = Math.max(1, drawn.x.length / MOST_CORNERS);
  const found = [];
  for (let i = 0; i < drawn.x.length; i += step) found.push([drawn.x[Math.floor(i)], drawn.y[Math.floor(i)]]);
  return found;
}

// Draws the histogram of what the mixture was fitted to, with the fit; `on.range(low, high)`, `on.threshold(p)`.
export function histogram(summary, about, threshold, on) {
  byId("mixture").hidden = !summary.hist;
  if (!summary.hist) return;
  const { low, high, bins, cells } = summary.hist;
  const width = (high - low) / bins;
  const at = cells.map(([k]) => low + (k + 0.5) * width);
  const [all, own] = [cells.map((c) => c[1]), cells.map((c) => c[2])];
  const narrowed = summary.count < summary.total;
  const scale = narrowed ? Math.max(...own, 1) / Math.max(...all, 1) : 1;
  const seen = all.reduce((a, b) => a + b, 0) * width * scale;
  const bar = (y, name, opacity) => ({ type: "bar", x: at, y, width, hoverinfo: "none", marker: { color: colour(name), opacity, line: { width: 0 } } });
  const curve = about.curve;
  const lines = (curve?.parts ?? []).map((part, k) => ({
    type: "scatter", mode: "lines", hoverinfo: "none", x: curve.x, y: part.y.map((d) => d * seen),
    line: { width: 2, color: colour(part.name === "balanced" ? "green" : k ? "orange" : "purple") },
  }));
  const traces = [...(narrowed ? [bar(all.map((n) => n * scale), "grey", 0.45)] : []), bar(own, "blue", 0.8), ...lines];
  const most = Math.max(...(narrowed ? own : all), 1);
  const node = byId("hist");
  Plotly.react(node, traces, layout({
    barmode: "overlay", bargap: 0, dragmode: "select", selectdirection: "h", selections: [], margin: { l: 44, r: 8, t: 4, b: 34 },
    xaxis: { range: [low, high], title: { text: curve?.what ?? "gap" } }, yaxis: { range: [0, 1.15 * most] },
  }), CONFIG);
  node.removeAllListeners?.();
  node.on("plotly_selected", (event) => event?.range && on.range(event.range.x[0], event.range.x[1]));
  node.on("plotly_afterplot", () => handles(node, curve, threshold(), on));
  handles(node, curve, threshold(), on);
  said(curve, narrowed);
}

function said(curve, narrowed) {
  const parts = (curve?.parts ?? []).map((part, k) =>
    el("span", { style: `color: var(--${part.name === "balanced" ? "green" : k ? "orange" : "purple"})` }, `— ${part.name}`));
  const scaled = narrowed ? el("span", { class: "muted" }, "grey: all samples, scaled to fit") : "";
  byId("histSays").replaceChildren(...[curve ? `${curve.second} ahead ← gap → ${curve.first} ahead` : "gap", ...parts, scaled].filter(Boolean));
}

// A line at each gap where p_balanced crosses the threshold; dragging one moves the threshold.
export function handles(node, curve, t, on) {
  const axis = node._fullLayout?.xaxis;
  if (!curve || !axis) return;
  const places = [];
  for (let i = 1; i < curve.x.length; i++) {
    if (curve.p_balanced[i - 1] >= t !== curve.p_balanced[i] >= t) places.push((curve.x[i - 1] + curve.x[i]) / 2);
  }
  const old = [...node.querySelectorAll(".handle")];
  places.slice(0, 4).forEach((x, i) => {
    const handle = old[i] ?? node.appendChild(el("div", { class: "handle", "aria-hidden": "true" }));
    handle.style.left = `${axis._offset + axis.l2p(x)}px`;
    handle.style.top = `${node._fullLayout._size.t}px`;
    handle.style.height = `${node._fullLayout._size.h}px`;
    handle.onpointerdown = (event) => {
      handle.setPointerCapture(event.pointerId);
      event.stopPropagation();
    };
    handle.onpointermove = (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const gap = axis.p2l(event.clientX - node.getBoundingClientRect().left - axis._offset);
      const k = Math.round(((gap - curve.x[0]) / (curve.x.at(-1) - curve.x[0])) * (curve.x.length - 1));
      on.threshold(curve.p_balanced[Math.min(Math.max(k, 0), curve.x.length - 1)]);
    };
    handle.onmousedown = (event) => event.stopPropagation();
  });
  old.slice(places.length).forEach((handle) => handle.remove());
}

const TITLES = { label_name: "Class", quadrant: "Right on their own", broken: "Claimed broken", contradicts: "Denies the label", rare: "Rare, readable", weak: "Class hardly recognised", shortcut: "Look gives the class away", mark: "Marked" };

// Draws a list of bars for each grouped column; `on.toggle(column, value)`.
export function bars(summary, about, state, on) {
  const title = (column) => TITLES[column] ?? column[0].toUpperCase() + column.slice(1);
  const made = Object.entries(summary.bars).map(([column, { rows, others }]) => {
    const most = Math.max(...rows.map((r) => r[1]), 1);
    const lines = rows.map(([value, all, own]) => el("li", {}, el("button",
      { type: "button", "aria-pressed": String((state.values[column] ?? []).includes(value)), onclick: () => on.toggle(column, value) },
      el("span", { class: "name" }, named(column, value, about)), el("span", { class: "number" }, own === all ? count(all) : `${count(own)} of ${count(all)}`),
      el("span", { class: "bar", "aria-hidden": "true" }, el("i", { style: `width: ${(100 * all) / most}%` }), el("i", { style: `width: ${(100 * own) / most}%` })))));
    return el("div", {}, el("h2", {}, title(column)), el("ul", { tabindex: "0", "aria-label": title(column) }, ...lines), others ? el("p", { class: "muted" }, `and ${count(others)} more: ask by Where`) : "");
  });
  byId("bars").replaceChildren(...made);
}

// A value of a grouped column in words.
export function named(column, value, about) {
  if (value === about.nothing) return column === "mark" ? "not marked" : column === "label_name" ? "no label" : "not scored";
  if (value === "") return "none";
  return short(plain(value), 40);
}
