// One sample: its media side by side, what is known of it, and the keys that decide about it.

import { ask, byId, count, el, number, plain, short, svg } from "./dom.js";

const WORDS = { keep: "Keep", drop: "Drop", fix_label: "Fix label", unsure: "Unsure" };
const KEY_OF = { k: "keep", d: "drop", f: "fix_label", u: "unsure" };

export const KEYS = (about) => [
  ["← →", "walk through the samples"],
  ["space", "play or pause"],
  ...Object.entries(KEY_OF).map(([key, mark]) => [key, WORDS[mark]]),
  ...about.modalities.map((m, i) => [String(i + 1), `broken: ${m}`]),
  ["n", "write a note"],
  ["z", "take your newest decision back"],
  ["enter", "open the sample that has the focus"],
  ["esc", "close"],
];

export class Sample {
  constructor(about, marks, page) {
    Object.assign(this, { about, marks, page, queue: null, id: null, found: null, turn: 0, walked: null, place: 0, steps: Promise.resolve() });
    this.node = byId("sample");
    this.makeMarks();
    this.node.addEventListener("keydown", (event) => this.key(event));
    this.node.addEventListener("close", () => this.closed());
    byId("close").onclick = () => this.node.close();
    byId("previous").onclick = () => this.step(-1);
    byId("next").onclick = () => this.step(1);
  }

  // Shows the sample that the address names; closes where it names none.
  async follow(id) {
    if (!id) {
      this.id = null;
      if (this.node.open) this.node.close();
      return;
    }
    if (id === this.id && this.node.open) return;
    this.id = id;
    const place = this.page.order().indexOf(id);
    if (place >= 0) Object.assign(this, { walked: id, place });
    if (!this.node.open) this.node.showModal();
    byId("next").focus(); // keys act on what is within: what was clicked on may go with the sample before
    await this.load();
    if (this.node.open && !this.node.contains(document.activeElement)) byId("next").focus();
  }

  async load() {
    const id = this.id;
    const turn = ++this.turn;
    this.found = null; // until it is read, no key may act on what was known of another sample
    byId("sampleId").textContent = plain(id);
    try {
      const found = await ask(`/api/sample?${new URLSearchParams({ id })}`);
      if (turn !== this.turn) return;
      this.found = found;
      this.draw();
    } catch (error) {
      if (turn !== this.turn) return;
      this.found = null;
      byId("media").replaceChildren(el("p", { role: "alert" }, error.message));
      byId("alike").replaceChildren();
      byId("facts").replaceChildren();
    }
  }

  async changed(id) {
    if (id !== this.id || !this.node.open) return;
    this.drawMarks();
    if (this.marks.of(id).length) return;
    const turn = ++this.turn; // an answer that comes late must not undo a newer one
    const found = await ask(`/api/sample?${new URLSearchParams({ id })}`).catch(() => null);
    if (!found || turn !== this.turn || id !== this.id) return;
    this.found = found;
    this.drawMarks();
    this.drawFacts();
  }

  closed() {
    const last = this.walked ?? this.id;
    this.id = this.walked = null;
    this.place = 0;
    byId("media").replaceChildren(); // ends what plays
    if (new URLSearchParams(location.search).has("sample")) this.page.go({ sample: null }, { keep: true }).then(() => last && this.page.focusRow(last));
    if (this.queue) {
      this.queue = null;
      this.page.review();
    }
  }

  // One after another: none is lost while a page is turned.
  step(by) {
    this.steps = this.steps.then(() => this.take(by));
  }

  async take(by) {
    if (!this.node.open) return;
    const next = await this.page.walk(this.walked ?? this.id, by); // from a look-alike, on from where one left
    if (next && this.node.open) {
      this.page.go({ sample: next }, { keep: true, replace: true });
      this.follow(next); // at once: the keys that come act on it, while the list is still asked for
    } else if (this.queue) this.node.close();
  }

  markOf(key) {
    const number = Number(key);
    if (number >= 1 && number <= this.about.modalities.length) return `broken:${this.about.modalities[number - 1]}`;
    return KEY_OF[key] ?? null;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=checkbox]), textarea, select")) return;
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const mark = this.markOf(event.key);
    if (by && event.repeat && !this.found) return; // held down: each sample is seen
    if (by) this.step(by);
    else if (event.key === " " && event.target.closest("button") === null) this.play();
    else if (event.key === " ") this.play();
    else if (mark) this.decide({ mark });
    else if (event.key === "n") this.note.focus();
    else if (event.key === "z") this.takeBack();
    else return;
    event.preventDefault();
  }

  play() {
    const all = [...this.node.querySelectorAll("audio, video")];
    const playing = all.find((one) => !one.paused);
    if (playing) playing.pause();
    else all[0]?.play().catch(() => {});
  }

  decide(decision) {
    const drawn = this.queue?.find(([id]) => id === this.id)?.[1];
    this.marks.add({ sample_id: this.id, ...(drawn && decision.mark ? { drawn } : {}), ...decision });
  }

  takeBack() {
    this.marks.takeBack(this.marks.of(this.id)[0] ?? this.found?.decisions.find((d) => d.author === this.about.author));
  }

  draw() {
    const { values, media } = this.found;
    const place = this.queue?.findIndex(([id]) => id === this.id);
    byId("place").textContent = this.queue ? `${place + 1} of ${this.queue.length} to review` : "";
    byId("sampleId").replaceChildren(plain(values.label_name || "no label"), " ", el("span", { class: "muted" }, plain(values.sample_id)));
    byId("media").replaceChildren(...(media.length ? media.map((one) => this.medium(one)) : [el("p", { class: "muted" }, "No media are known of this sample.")]));
    this.drawMarks();
    this.drawFacts();
    this.drawAlike();
  }

  // Samples that look or sound like this one, of each modality; they come after the sample itself.
  async drawAlike() {
    const { id } = this;
    const node = byId("alike");
    node.replaceChildren(el("p", { class: "muted" }, "Looking for samples like it …"));
    const { found, missing } = await ask(`/api/alike?${new URLSearchParams({ id })}`).catch((error) => ({ found: [], missing: error.message }));
    if (id !== this.id) return;
    const one = (m, row) => el("button", { type: "button", class: "card", "data-id": row.sample_id, onclick: () => this.page.go({ sample: row.sample_id }, { keep: true }) },
      el("div", { class: "thumbs" }, this.page.thumb(row, m)),
      el("span", { class: row.label_name === this.found.values.label_name ? "label" : "label other" }, short(row.label_name || "no label", 40)),
      el("span", { class: "id" }, short(row.sample_id, 40)), el("span", { class: "said" }, row.p === null ? "" : `p(true class) ${number(row.p)}`));
    const row = ({ modality, by, samples }) => el("section", { "aria-label": `Look-alikes by ${modality}` },
      el("h3", {}, `Alike in ${modality} `, el("span", { class: "muted" }, `by ${by}`)), el("div", { class: "row" }, ...samples.map((s) => one(modality, s))));
    node.replaceChildren(...(found.length ? found.map(row) : [el("p", { class: "muted" }, missing)]));
  }

  // The buttons are made once: what has the focus, or is being typed, stays.
  makeMarks() {
    const keys = Object.fromEntries(Object.entries(KEY_OF).map(([k, m]) => [m, k]));
    this.about.modalities.forEach((m, i) => (keys[`broken:${m}`] = String(i + 1)));
    this.buttons = Object.fromEntries(this.about.marks.map((mark) => [mark, el("button",
      { type: "button", onclick: () => this.decide({ mark, ...(mark === "fix_label" ? this.label() : {}) }) },
      WORDS[mark] ?? mark.replace(":", ": "), " ", el("kbd", {}, keys[mark] ?? ""))]));
    this.classes = el("select", { "aria-label": "What the label should be", onchange: () => this.decide({ mark: "fix_label", ...this.label() }) },
      el("option", { value: "" }, "label should be …"), ...this.about.classes.map((c) => el("option", { value: c }, short(c, 40))));
    this.note = el("input", { maxlength: "10000", onchange: () => this.decide({ note: this.note.value }) });
    this.note.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault(); // or it would press the button that gets the focus
      byId("next").focus();
    });
    this.back = el("button", { type: "button", onclick: () => this.takeBack() }, "Take back ", el("kbd", {}, "z"));
    byId("marks").replaceChildren(...Object.values(this.buttons), this.classes, el("label", { class: "note" }, "Note ", this.note), this.back);
  }

  drawMarks() {
    if (!this.found) return;
    const { values, decisions } = this.found;
    const now = this.marks.of(this.id).find((one) => one.mark)?.mark ?? values.mark;
    for (const [mark, button] of Object.entries(this.buttons)) button.setAttribute("aria-pressed", String(mark === now));
    this.classes.value = values.mark_label ?? "";
    if (document.activeElement !== this.note) this.note.value = values.mark_note ?? "";
    this.back.disabled = !decisions.length && !this.marks.of(this.id).length;
    byId("marked").replaceChildren(...this.page.tags(values));
  }

  label() {
    const chosen = this.classes.value;
    return chosen ? { new_label: chosen } : {};
  }

  medium(one) {
    const { values } = this.found;
    const m = one.modality;
    const said = [["p(true class)", values[`p_${m}`]], ["usability", values[`usability_${m}`]], ["p(broken)", values[`p_broken_${m}`]], ["denies the label", values[`contradiction_${m}`]]];
    const broken = (values.broken ?? "").split("+").includes(m);
    return el("section", { class: "medium", "aria-label": m }, el("h3", {}, m, " ", broken ? el("span", { class: "tag claim" }, "claimed broken") : ""),
      this.shown(one), el("dl", {}, ...said.filter(([, v]) => typeof v === "number").flatMap(([name, v]) => [el("dt", {}, name), el("dd", {}, number(v))])),
      one.name ? el("p", { class: "muted" }, one.name, one.start === undefined ? "" : `, ${one.start} to ${one.end} s`) : "");
  }

  shown(one) {
    const url = (what) => this.page.media(what, this.id, one.modality);
    const stretch = one.start === undefined ? "" : `#t=${one.start},${one.end}`;
    if (one.kind === "text") return el("blockquote", { tabindex: "0" }, document.createTextNode(one.text));
    if (one.kind === "numbers") return numbers(one);
    if (one.kind === "picture") return el("img", { class: "shown", onload: enlarge, src: url("picture"), alt: `${one.modality} of this sample` });
    if (one.kind === "audio") return sound(one.plays ? url("file") + stretch : url("sound"), url);
    if (one.kind === "video" && one.plays) return el("video", { src: url("file") + stretch, controls: true, preload: "metadata", playsinline: true });
    if (one.kind === "video" || one.kind === "frames") return el("img", { class: "shown", onload: enlarge, src: url("frames"), alt: `frames of ${one.modality}, side by side` });
    return el("p", { class: "muted" }, one.text || "cannot be shown");
  }

  drawFacts() {
    if (!this.found) return;
    const { values, findings, decisions, history, history_missing: missing } = this.found;
    const plainly = ["split", "status", "reason", "gap", "p_balanced", "p_fused", "predicted", "quadrant", "imbalance", "planted", "group_id", "fold", "mark_label"];
    const rows = plainly.filter((c) => values[c] !== null && values[c] !== undefined && values[c] !== "").flatMap((c) => [el("dt", {}, c), el("dd", {}, number(values[c]))]);
    if (this.found.other) rows.push(el("dt", {}, "most probable other class"), el("dd", {}, this.found.other));
    const made = [el("section", {}, el("h3", {}, "Known"), el("dl", {}, ...rows))];
    if (history.length) made.push(el("section", {}, el("h3", {}, "p(true class) over epochs"), ...curve(history, this.about.modalities)));
    else if (missing) made.push(el("p", { class: "muted" }, missing));
    if (findings.length) made.push(el("section", {}, el("h3", {}, "Suspicions"), el("ul", {}, ...findings.map(([kind, detail]) => el("li", {}, `${kind}: ${detail}`)))));
    if (decisions.length) made.push(el("section", {}, el("h3", {}, "Decisions, newest first"), el("ul", {}, ...decisions.map((d) => el("li", {}, [d.mark, d.new_label && `should be ${d.new_label}`, d.note !== null && `note: ${d.note || "removed"}`].filter(Boolean).join(", "), el("span", { class: "muted" }, ` ${d.author}, ${String(d.made).slice(0, 16)} UTC`))))));
    byId("facts").replaceChildren(...made);
  }
}

// A picture of fewer pixels than can be looked at is shown larger, with its pixels to be seen.
function enlarge({ target }) {
  target.classList.toggle("crisp", Math.max(target.naturalWidth, target.naturalHeight) < 192);
}

// A player below the waveform and the spectrogram; a line follows it, a click moves it.
function sound(source, url) {
  const player = el("audio", { src: source, controls: true, preload: "metadata" });
  const line = el("i", { hidden: true, "aria-hidden": "true" });
  const pictures = el("div", { class: "sound" }, el("img", { class: "wave", src: url("waveform"), alt: "waveform" }), el("img", { src: url("spectrogram"), alt: "spectrogram, low frequencies at the bottom" }), line);
  const [start, end] = (source.split("#t=")[1] ?? "").split(",").map(Number);
  const from = start || 0;
  const lasts = () => (end || player.duration || 1) - from;
  const follow = () => {
    line.hidden = false;
    line.style.left = `${Math.min(100, (100 * (player.currentTime - from)) / lasts())}%`;
    if (!player.paused) requestAnimationFrame(follow);
  };
  player.addEventListener("play", follow);
  player.addEventListener("seeked", follow);
  pictures.addEventListener("click", (event) => {
    const box = pictures.getBoundingClientRect();
    player.currentTime = from + ((event.clientX - box.left) / box.width) * lasts();
  });
  return el("div", {}, pictures, player);
}

function numbers(one) {
  const most = Math.max(...one.numbers.map(Math.abs), 1e-9);
  const width = 100 / one.numbers.length;
  const bars = one.numbers.map((v, i) => svg("rect", { x: i * width, width: width * 0.9, y: v > 0 ? 20 - (20 * v) / most : 20, height: Math.abs((20 * v) / most), style: "fill: var(--blue)" }));
  const list = one.numbers.slice(0, 32).map((v) => v.toPrecision(3)).join(", ");
  return el("div", {}, svg("svg", { class: "numbers", viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": `${one.length} numbers` }, ...bars),
    el("p", { class: "muted" }, `${count(one.length)} numbers: ${list}${one.length > 32 ? ", …" : ""}`));
}

// A line a modality over epochs, p from 0 (bottom) to 1.
function curve(history, modalities) {
  const names = [...modalities, "fused"].filter((m) => history.some((row) => row[1] === m));
  const last = Math.max(...history.map((row) => row[0]), 2);
  const shade = (i, m) => `var(--${m === "fused" ? "muted" : ["blue", "orange", "green", "purple"][i % 4]})`;
  const lines = names.map((m, i) => {
    const at = history.filter((row) => row[1] === m).map(([epoch, , p]) => `${(300 * (epoch - 1)) / (last - 1)},${96 - 92 * p}`);
    return svg("path", { d: `M${at.join("L")}`, style: `stroke: ${shade(i, m)}`, "vector-effect": "non-scaling-stroke" });
  });
  const frame = svg("path", { d: "M0,4H300M0,50H300M0,96H300", style: "stroke: var(--line)", "vector-effect": "non-scaling-stroke" });
  return [svg("svg", { class: "history", viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img", "aria-label": "p(true class), 0 to 1, over epochs" }, frame, ...lines),
    el("p", { class: "muted" }, `from epoch 1 to ${last}; lines at p = 0, 0.5 and 1`),
    el("p", {}, ...names.map((m, i) => el("span", { style: `color: ${shade(i, m)}; margin-right: .8rem` }, `— ${m}`)))];
}
