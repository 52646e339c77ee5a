// What the page says beside its pictures: one line that all see, another that is only read aloud.

import { isPassing } from "./service.js";

const byId = (id) => document.getElementById(id);
const notices = new Map();
let shown = "";

/** Shows a text about something, until there is another or, with null, none. */
export function notice(about, text) {
  notices.delete(about);
  if (text) notices.set(about, text);
  const latest = [...notices.values()].at(-1) ?? "";
  if (latest === shown) return; // or else it would be read aloud again
  shown = latest;
  const parts = latest.split("`").map((part, i) => (i % 2 ? code(part) : part));
  byId("notice").replaceChildren(...parts);
}

/** Has a screen reader say it. */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** What went wrong, and what to do. */
export function told({ message, remedy, status, retryAfterS }) {
  if (status === 429) {
    return `${sentence(message)} Try again in ${retryAfterS ?? 2} s, or ask for fewer pictures.`;
  }
  if (status === 401) return `${sentence(message)} The button “API key” asks for one.`;
  return [message, remedy].filter(Boolean).map(sentence).join(" ");
}

/** The same where the page goes on by itself. */
export function waiting(error) {
  const goesOn = "This page goes on by itself as soon as it can.";
  return isPassing(error) ? `${told(error)} ${goesOn}` : told(error);
}

export function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

function code(text) {
  const element = document.createElement("code");
  element.textContent = text;
  return element;
}
