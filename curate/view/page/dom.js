// Small pieces of the page. Every text of the table is set as text, never as HTML.

const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|[\u{e0000}-\u{e007f}]|\p{Surrogate}/gu;

// Control and direction marks as escapes, as in the terminal.
export function plain(value) {
  return String(value ?? "").replace(UNSAFE, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

export function short(value, most = 60) {
  const text = plain(value);
  return text.length <= most ? text : `${text.slice(0, most - 12)}…${text.slice(-10)}`;
}

// el("p", {class: "muted", hidden: true, onclick: f}, "text", child, ...)
export function el(name, settings = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(settings)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean") made.toggleAttribute(key, value);
    else if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter((c) => c !== null && c !== undefined && c !== "").map((c) => (c instanceof Node ? c : plain(c))));
  return made;
}

export function svg(name, settings, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(settings)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

export const count = (n) => Number(n).toLocaleString("en");

export function number(value) {
  if (typeof value !== "number" || Number.isInteger(value)) return plain(value);
  return Math.abs(value) >= 1000 ? value.toFixed(0) : value.toFixed(3);
}

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// The server's answer, or an error whose message says what to do.
export async function ask(path, settings) {
  let answer;
  try {
    answer = await fetch(path, settings);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("the server does not answer: is `curate view` still running?", 0);
  }
  if (answer.ok) return answer.json();
  const said = await answer.json().catch(() => ({ message: answer.statusText, hint: "" }));
  throw new Problem([said.message, said.hint].filter(Boolean).join(" – "), answer.status);
}

export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export class Problem extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}
