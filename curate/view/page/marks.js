// Decisions of the person: sent at once, kept in the browser until the server says they are in the table.

import { byId, post, short } from "./dom.js";

const PAUSE = 2000; // ms between tries

export class Marks {
  // changed(sampleId) is called whenever what is known of a sample's decisions changes.
  constructor(name, changed) {
    this.key = `curate-pending-${name}`;
    this.changed = changed;
    this.pending = this.read();
    this.last = null; // the newest decision that was stored, to be taken back
    this.sending = false;
    this.posted = null; // settles when the server has answered, or has not
    this.single = false; // send one at a time, after a batch was refused
    if (this.pending.length) this.send();
    addEventListener("beforeunload", (event) => this.pending.length && event.preventDefault());
  }

  read() {
    try {
      return JSON.parse(localStorage.getItem(this.key) ?? "[]");
    } catch {
      return [];
    }
  }

  keep() {
    localStorage.setItem(this.key, JSON.stringify(this.pending));
  }

  add(decision) {
    this.pending.push({ ...decision, mark_id: [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16)).join("") });
    this.keep();
    this.changed(decision.sample_id);
    this.send();
  }

  // What waits to be stored of a sample, the newest first.
  of(sampleId) {
    return this.pending.filter((one) => one.sample_id === sampleId).reverse();
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    while (this.pending.length) {
      const batch = this.pending.slice(0, this.single ? 1 : 100);
      try {
        const answer = post("/api/mark", { marks: batch });
        this.posted = answer.catch(() => {});
        const { saved } = await answer;
        this.pending = this.pending.filter((one) => !saved.includes(one.mark_id));
        this.last = batch.at(-1);
        this.keep();
        this.say("");
        for (const id of new Set(batch.map((one) => one.sample_id))) this.changed(id);
      } catch (problem) {
        if (problem.status === 400 && batch.length > 1) this.single = true;
        else if (problem.status === 400) this.drop(batch[0], problem);
        else {
          this.say(`${this.pending.length} decision${this.pending.length > 1 ? "s wait" : " waits"} in this page: ${problem.message}. Tried again every ${PAUSE / 1000} s.`);
          await new Promise((done) => setTimeout(done, PAUSE));
        }
      }
    }
    this.sending = this.single = false;
  }

  // The server will never take it: say so. Called for one decision; of several it is not known which is wrong.
  drop(decision, problem) {
    this.pending = this.pending.filter((one) => one !== decision);
    this.keep();
    this.say(`a decision about ${short(decision.sample_id)} was refused: ${problem.message}`);
    this.changed(decision.sample_id);
  }

  // One that waits in the page may be on its way to the table; if it did not come there, it is forgotten.
  async takeBack(decision) {
    if (!decision) return;
    if (this.pending.includes(decision)) await this.posted;
    if (this.pending.includes(decision)) {
      this.pending = this.pending.filter((one) => one !== decision);
      this.keep();
      this.say("");
      this.changed(decision.sample_id);
      return;
    }
    try {
      await post("/api/withdraw", { mark_id: decision.mark_id });
      if (this.last?.mark_id === decision.mark_id) this.last = null;
      this.say("");
    } catch (problem) {
      this.say(`not taken back: ${problem.message}`);
    }
    this.changed(decision.sample_id);
  }

  say(text) {
    byId("waiting").textContent = text;
  }
}
