// The page: its state is the address; each change asks the server again and draws every view.

import { bars, handles, histogram, library, named, scatter } from "./charts.js";
import { ask, byId, count, el, number, plain, post, short } from "./dom.js";
import { Marks } from "./marks.js";
import { Sample, KEYS } from "./sample.js";

const ROWS = 24;
const OF_PAGE = ["mode", "page", "after", "t", "sample"]; // parts of the address that are not for the server
const COLUMNS = ["sample_id", "label_name", "split", "status", "gap", "p_balanced", "broken", "contradicts", "rare", "weak", "shortcut", "mark", "mark_note"];

let about, marks, dialog, summary, page, running;
let ahead = null; // the first answers, asked for before the page knows its columns

const address = () => new URLSearchParams(location.search);

// The address in parts, as the charts need it.
function state() {
  const at = address();
  const found = { ranges: {}, values: {}, axes: [at.get("x") ?? about.usual[0], at.get("y") ?? about.usual[1]] };
  for (const [name, value] of at) {
    if (name.startsWith("r.")) found.ranges[name.slice(2)] = value.split(",").map(Number);
    if (name.startsWith("in.")) (found.values[name.slice(3)] ??= []).push(value);
  }
  const [x, y, numbers] = (at.get("lasso") ?? "").split(":");
  if (numbers) {
    const flat = numbers.split(",").map(Number);
    found.lasso = { x, y, corners: flat.filter((_, i) => i % 2 === 0).map((value, i) => [value, flat[2 * i + 1]]) };
  }
  return found;
}

// Changes the address and shows it: {name: value}, null removes; a list gives several. The page of rows begins anew.
function go(changes, { replace = false, keep = false } = {}) {
  const at = address();
  if (!keep) for (const name of ["page", "after"]) at.delete(name);
  for (const [name, value] of Object.entries(changes)) {
    at.delete(name);
    for (const one of Array.isArray(value) ? value : value === null || value === "" ? [] : [value]) at.append(name, one);
  }
  const url = at.size ? `?${at}` : location.pathname;
  history[replace ? "replaceState" : "pushState"](null, "", url);
  return load();
}

function question() {
  const at = address();
  for (const name of OF_PAGE) at.delete(name);
  return at;
}

// Which rows: those after a sample, which marks may have taken out of what is shown, else those of a page.
function place() {
  const at = address();
  const after = at.get("after");
  return new URLSearchParams(after === null ? { start: (Number(at.get("page") ?? 1) - 1) * ROWS, rows: ROWS } : { after, rows: ROWS });
}

function answers(signal) {
  const asked = question();
  return Promise.all([
    ask(`/api/summary?${asked}`, { signal }),
    ask(`/api/page?${asked}&${place()}`, { signal }),
  ]);
}

async function load() {
  running?.abort();
  const { signal } = (running = new AbortController());
  const at = address();
  const waiting = ahead ?? answers(signal);
  ahead = null;
  try {
    const [counts, rows] = await waiting;
    if (signal.aborted) return;
    summary = counts;
    page = { start: rows.start, rows: rows.rows.map((row) => Object.fromEntries(rows.columns.map((c, i) => [c, row[i]]))) };
    problem(counts.warning);
  } catch (error) {
    if (error.name === "AbortError") return;
    problem(error.message);
    fields(state()); // what was asked can be corrected
    chips(state());
    return;
  }
  draw();
  const opened = dialog.follow(at.get("sample"));
  await library();
  if (signal.aborted) return;
  charts();
  document.documentElement.dataset.ready = String(Number(document.documentElement.dataset.ready ?? 0) + 1);
  await opened;
}

function problem(text) {
  byId("problem").textContent = plain(text ?? "");
  byId("problem").hidden = !text;
  if (!summary) for (const id of ["of", "scatterSays"]) byId(id).textContent = ""; // nothing comes any more
}

function draw() {
  const now = state();
  byId("shown").textContent = count(summary.count);
  byId("of").textContent = `of ${count(summary.total)} ${summary.total === 1 ? "sample" : "samples"}`;
  fields(now);
  chips(now);
  bars(summary, about, now, { toggle });
  kept();
  rows();
}

function charts() {
  const now = state();
  scatter(summary, now, document.querySelector("[name=tool]:checked").value, {
    lasso: ([x, y], corners) => go({ lasso: `${x}:${y}:${corners.flat().map(rounded).join(",")}`, [`r.${x}`]: null, [`r.${y}`]: null }),
    box: (x, y) => go({ [`r.${now.axes[0]}`]: x.map(rounded).join(","), [`r.${now.axes[1]}`]: y.map(rounded).join(","), lasso: null }),
    zoom: (x, y) => go({ view: x && [[...x, ...y].map(rounded).join(",")] }, { keep: true }),
    open: (id) => openSample(id),
  });
  histogram(summary, about, threshold, { range: (low, high) => go({ [`r.${about.curve?.column ?? "gap"}`]: `${rounded(low)},${rounded(high)}` }), threshold: setThreshold });
}

const rounded = (value) => Number(Number(value).toPrecision(6));

function toggle(column, value) {
  const old = address().getAll(`in.${column}`);
  go({ [`in.${column}`]: old.includes(value) ? old.filter((v) => v !== value) : [...old, value] });
}

function fields(now) {
  const at = address();
  byId("q").value = at.get("q") ?? "";
  byId("where").value = at.get("where") ?? "";
  [byId("x").value, byId("y").value] = now.axes;
  byId("sort").value = at.get("sort") ?? about.sort;
  byId("desc").checked = at.get("desc") === "1";
  byId("unzoom").hidden = !at.has("view");
  document.querySelector(`[name=mode][value=${at.get("mode") === "table" ? "table" : "gallery"}]`).checked = true;
  byId("threshold").value = Math.round(threshold() * about.steps);
}

// One button for each thing that narrows; pressing it removes it.
function chips(now) {
  const at = address();
  const made = [];
  const chip = (text, changes) => made.push(el("button", { type: "button", title: "Remove", onclick: () => go(changes) }, short(text, 90), el("span", { class: "mark", "aria-hidden": "true" }, "✕"), el("span", { class: "muted" }, "")));
  for (const [name, [low, high]] of Object.entries(now.ranges)) chip(`${name} ${number(low)} to ${number(high)}`, { [`r.${name}`]: null });
  for (const [name, values] of Object.entries(now.values)) chip(`${name}: ${values.map((v) => named(name, v, about)).join(" or ")}`, { [`in.${name}`]: null });
  if (now.lasso) chip(`lasso in ${now.lasso.x} and ${now.lasso.y}`, { lasso: null });
  if (at.get("q")) chip(`id contains ${at.get("q")}`, { q: null });
  if (at.get("where")) chip(`where ${at.get("where")}`, { where: null });
  if (made.length > 1) {
    const all = [...question().keys()].filter((n) => !["x", "y", "sort", "desc", "view"].includes(n));
    chip("clear all", Object.fromEntries(all.map((n) => [n, null])));
  }
  byId("chips").replaceChildren(...made);
}

const threshold = () => Number(address().get("t") ?? 0.8);

function setThreshold(value) {
  const at = address();
  at.set("t", String(Math.round(value * about.steps) / about.steps));
  history.replaceState(null, "", `?${at}`);
  byId("threshold").value = Math.round(threshold() * about.steps);
  handles(byId("hist"), about.curve, threshold(), { threshold: setThreshold });
  kept();
}

// Counted here, from the counts at each step: it follows the finger.
function kept() {
  const least = Math.round(threshold() * about.steps);
  const sum = (place, from) => summary.kept.reduce((total, row) => total + (row[0] >= from ? row[place] : 0), 0);
  byId("t").textContent = threshold().toFixed(3);
  const all = `${count(sum(1, least))} of ${count(sum(1, 0))} scored`;
  byId("kept").textContent = summary.count < summary.total ? `keeps ${count(sum(2, least))} of ${count(sum(2, 0))} shown and scored (${all} in all)` : `keeps ${all}`;
}

function rows() {
  const last = Math.min(page.start + page.rows.length, summary.count);
  byId("where-am-i").textContent = page.rows.length ? `${count(page.start + 1)}–${count(last)} of ${count(summary.count)}` : "no sample";
  byId("before").disabled = page.start === 0;
  byId("after").disabled = page.start + ROWS >= summary.count;
  byId("rows").replaceChildren(address().get("mode") === "table" ? table() : gallery());
}

function gallery() {
  if (!page.rows.length) return el("p", { class: "muted" }, "No sample fits. Remove something above that narrows.");
  return el("div", { class: "gallery" }, ...page.rows.map(card));
}

function card(row) {
  const thumbs = el("div", { class: "thumbs" }, ...about.modalities.slice(0, 3).map((m) => thumb(row, m)));
  return el("button", { type: "button", class: "card", "data-id": row.sample_id, onclick: () => openSample(row.sample_id) }, ...(about.shown.length ? [thumbs] : []),
    el("span", { class: "label" }, short(row.label_name || "no label", 40)), el("span", { class: "id" }, short(row.sample_id, 40)),
    el("span", { class: "said" }, row.gap === null ? row.status === "ok" ? row.split : row.status : `gap ${number(row.gap)}`), el("span", {}, ...tags(row)));
}

// A picture of one modality, or a word where there is none: a sound is shown by its spectrogram.
function thumb(row, modality) {
  const blank = () => el("span", { class: "blank" }, modality);
  const image = el("img", { src: media(about.sounds.includes(modality) ? "spectrogram" : "picture", row.sample_id, modality), loading: "lazy", alt: "", class: about.sounds.includes(modality) ? "sound" : "crisp" });
  image.addEventListener("error", () => image.replaceWith(blank()), { once: true });
  return about.shown.includes(modality) ? image : blank();
}

export const media = (what, id, modality) => `/media/${what}?${new URLSearchParams({ id, modality })}`;

export function tags(row) {
  const waiting = marks.of(row.sample_id).find((one) => one.mark);
  const found = [];
  if (row.broken) found.push(el("span", { class: "tag claim" }, `claim: ${row.broken} broken`));
  if (row.contradicts) found.push(el("span", { class: "tag claim" }, `claim: ${row.contradicts} denies the label`));
  if (row.p_mislabelled > 0.5) found.push(el("span", { class: "tag claim" }, "claim: label is wrong"));
  if (row.rare) found.push(el("span", { class: "tag" }, `${row.rare}: rare, readable`));
  if (row.weak) found.push(el("span", { class: "tag" }, `${row.weak}: class hardly recognised`));
  if (row.shortcut) found.push(el("span", { class: "tag" }, `${row.shortcut}: look gives the class away`));
  if (waiting) found.push(el("span", { class: "tag pending" }, `${waiting.mark}, being stored`));
  else if (row.mark) found.push(el("span", { class: "tag decided" }, row.mark));
  if (row.mark_note) found.push(el("span", { class: "tag decided" }, short(row.mark_note, 40)));
  return found;
}

function table() {
  const shown = [...COLUMNS.filter((c) => c in about.columns), ...about.numeric.filter((c) => !COLUMNS.includes(c))];
  const at = address();
  const sorted = at.get("sort") ?? about.sort;
  const head = shown.map((c) => el("th", { scope: "col", "aria-sort": c === sorted ? (at.get("desc") === "1" ? "descending" : "ascending") : "none" },
    el("button", { type: "button", onclick: () => go({ sort: c, desc: c === sorted && at.get("desc") !== "1" ? "1" : null }) }, c)));
  const cell = (row, c) => c === "sample_id"
    ? el("td", {}, el("button", { type: "button", class: "open", "data-id": row[c], onclick: () => openSample(row[c]) }, short(row[c], 40)))
    : el("td", { class: typeof row[c] === "number" ? "number" : "" }, typeof row[c] === "number" ? number(row[c]) : short(row[c], 40));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of samples" },
    el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...page.rows.map((row) => el("tr", {}, ...shown.map((c) => cell(row, c)))))));
}

// Opens a sample; `queue` is the list to walk, [[id, how it was drawn]], or null to walk the rows shown.
function openSample(id, queue = null) {
  dialog.queue = queue;
  return go({ sample: id }, { keep: true });
}

// The ids that the arrows walk through.
const order = () => (dialog.queue ? dialog.queue.map(([id]) => id) : page.rows.map((row) => row.sample_id));

// The id so many places after one in the order shown; pages are turned. Null at the ends.
async function walk(id, by) {
  const ids = order();
  const found = ids.indexOf(id);
  const to = found < 0 ? dialog.place + Math.min(by, 0) : found + by; // one that a mark took away stood before its place
  if (dialog.queue || ids[to] || !ids.length) return ids[to] ?? null;
  const wanted = page.start + to;
  if (wanted < 0 || wanted >= summary.count) return null;
  const was = page;
  await go(by > 0 ? onward() : backward(), { keep: true, replace: true }); // the sample stays open meanwhile
  if (page === was) return null; // something else was asked for before the answer came
  return page.rows[by > 0 ? 0 : wanted - page.start]?.sample_id ?? null;
}

const onward = () => ({ page: null, after: page.rows.at(-1)?.sample_id ?? null });
const backward = () => ({ page: String(Math.max(1, Math.ceil(page.start / ROWS))), after: null });

function focusRow(id) {
  document.querySelector(`#rows [data-id="${CSS.escape(id)}"]`)?.focus();
}

async function changed(id) {
  if (!dialog) return;
  const row = page?.rows.find((one) => one.sample_id === id);
  if (row && !marks.of(id).length) {
    const { values } = await ask(`/api/sample?${new URLSearchParams({ id })}`).catch(() => ({ values: null }));
    if (values) Object.assign(row, values);
  }
  if (row) document.querySelector(`#rows .card[data-id="${CSS.escape(id)}"]`)?.replaceWith(card(row));
  await dialog.changed(id);
}

async function review() {
  const found = await ask("/api/review").catch((error) => problem(error.message));
  if (!found) return;
  const share = (part) => (part ? `${Math.round(100 * part[0])} % to ${Math.round(100 * part[1])} %` : "–");
  const line = (one, what) => el("li", {}, el("strong", {}, one.name), `: ${count(one.claims)} ${what}, ${one.seen} reviewed, ${one.right} ${what === "claims" ? "confirmed" : "broken or mislabelled"}`,
    el("br", {}), `at random: ${one.random_right} of ${one.random}, ${share(one.random_interval)}`, one.random !== one.seen ? `; all reviewed: ${share(one.interval)}` : "");
  byId("reviewSays").replaceChildren(
    el("p", {}, "Uncertain claims, claims at random and other samples at random come in turn. Intervals are Wilson's, at 95 %; those at random speak for all claims: stop when they are narrow enough for you. ‘Drop’ and ‘unsure’ are not counted."),
    el("ul", {}, ...found.claims.map((one) => line(one, "claims")), line({ ...found.missed, name: "not claimed" }, "samples")));
  byId("begin").disabled = !found.queue.length;
  byId("begin").onclick = () => {
    byId("reviewing").close();
    openSample(found.queue[0][0], found.queue);
  };
  if (!byId("reviewing").open) byId("reviewing").showModal();
}

async function save() {
  const said = byId("savingSays");
  try {
    const done = await post("/api/select", { name: byId("name").value, question: String(question()), replace: byId("replace").checked });
    const left = done.shown - done.kept;
    said.textContent = plain(`stored ${count(done.kept)} ${done.kept === 1 ? "sample" : "samples"} as ${done.name}${left ? `; of those shown, ${count(left)} without a score or of another split than training left out` : ""}`);
  } catch (error) {
    said.textContent = plain(error.message);
  }
}

function options(node, names) {
  node.replaceChildren(...names.map((name) => el("option", { value: name }, name)));
}

function wire() {
  byId("ask").onsubmit = (event) => {
    event.preventDefault();
    go({ q: byId("q").value.trim() || null, where: byId("where").value.trim() || null });
  };
  for (const axis of ["x", "y"]) byId(axis).onchange = (event) => go({ [axis]: event.target.value, view: null }, { keep: true });
  byId("sort").onchange = (event) => go({ sort: event.target.value });
  byId("desc").onchange = (event) => go({ desc: event.target.checked ? "1" : null });
  byId("unzoom").onclick = () => go({ view: null }, { keep: true });
  byId("tool").onchange = () => library().then(charts);
  byId("mode").onchange = (event) => go({ mode: event.target.value === "table" ? "table" : null }, { keep: true });
  byId("before").onclick = () => go(backward(), { keep: true });
  byId("after").onclick = () => go(onward(), { keep: true });
  byId("threshold").oninput = (event) => setThreshold(event.target.value / about.steps);
  byId("narrow").onclick = () => go({ "r.p_balanced": `${threshold()},1` });
  byId("save").onclick = () => {
    byId("savingSays").textContent = plain(`the training samples among the ${count(summary.count)} shown`);
    byId("saving").showModal();
  };
  document.querySelector("#saving form").onsubmit = (event) => {
    event.preventDefault();
    save();
  };
  byId("cancel").onclick = () => byId("saving").close();
  byId("review").onclick = review;
  byId("enough").onclick = () => byId("reviewing").close();
  byId("help").onclick = () => byId("keys").showModal();
  byId("keysClose").onclick = () => byId("keys").close();
  byId("keyList").replaceChildren(...KEYS(about).flatMap(([key, what]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)]));
  byId("rows").addEventListener("keydown", rowKeys);
  addEventListener("popstate", load);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => library().then(charts));
}

// In the gallery or table: arrows walk, keys decide about the one that has the focus.
function rowKeys(event) {
  const own = event.target.closest("[data-id]");
  if (!own || event.ctrlKey || event.metaKey || event.altKey) return;
  const all = [...document.querySelectorAll("#rows [data-id]")];
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (by) {
    event.preventDefault();
    all[all.indexOf(own) + by]?.focus();
    return;
  }
  const mark = dialog.markOf(event.key);
  if (mark) {
    event.preventDefault();
    marks.add({ sample_id: own.dataset.id, mark });
    focusRow(own.dataset.id);
  }
}

async function start() {
  const at = address();
  if (at.has("token")) {
    at.delete("token");
    history.replaceState(null, "", at.size ? `?${at}` : location.pathname);
  }
  ahead = answers();
  ahead.catch(() => {}); // said when it is waited for
  try {
    about = await ask("/api/about");
  } catch (error) {
    problem(error.message);
    return;
  }
  byId("about").textContent = plain(`${short(about.run)}, data set ${short(about.dataset)}, ${about.table}`);
  options(byId("x"), about.numeric);
  options(byId("y"), about.numeric);
  options(byId("sort"), Object.keys(about.columns));
  marks = new Marks(`${about.table} ${about.run}`, changed);
  dialog = new Sample(about, marks, { go, walk, order, tags, thumb, media, focusRow, review, refresh: load });
  byId("groups").open = innerWidth > 960;
  wire();
  await load();
}

start();
