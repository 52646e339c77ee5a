// The dialogs: a picture with all that is known of it, a question, and the API key.

import { hasEnded } from "./follow.js";
import { sentence } from "./notice.js";
import { isKey, key, pictureUrl } from "./service.js";
import { count, isTiny, seconds } from "./wall.js";

const UNLIKE_A_KEY =
  "An API key has only letters, digits and signs, and no spaces. Copy it again, and nothing else.";

const byId = (id) => document.getElementById(id);

/** A click beside a dialog closes it, as Escape does. */
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
}

/** A picture, and what can be done with it. */
export class PictureDialog {
  constructor(wall, { onUse, onAgain, onDelete }) {
    this.dialog = byId("picture");
    this.wall = wall;
    const listen = (id, act) => byId(`picture-${id}`).addEventListener("click", act);
    listen("close", () => this.close());
    listen("use", () => (this.close(), onUse(this.#parameters())));
    listen("again", () => (this.close(), onAgain(this.#parameters())));
    listen("delete", async () => (await isSure(this.#deletes())) && onDelete(this.view));
    listen("previous", () => this.#go(-1));
    listen("next", () => this.#go(1));
    this.dialog.addEventListener("keydown", ({ key: pressed }) => {
      if (pressed === "ArrowLeft") this.#go(-1);
      if (pressed === "ArrowRight") this.#go(1);
    });
  }

  open(view, index) {
    this.show(view, index);
    this.dialog.showModal();
    this.dialog.scrollTop = 0;
  }

  close() {
    this.dialog.close();
  }

  show(view, index) {
    this.view = view;
    this.index = index;
    const { job } = view;
    const image = job.images.find((each) => each.index === index);
    this.#showPicture(job, image);
    byId("picture-prompt").textContent = job.parameters.prompt;
    byId("picture-about").textContent = `${asked(job)} · ${view.outcome}`;
    byId("picture-parameters").replaceChildren(...Object.entries(facts(job, image)).flatMap(fact));
    byId("picture-stages").replaceChildren(...job.timings.flatMap((times) => stage(job, times)));
  }

  #showPicture(job, image) {
    const shown = byId("picture-image");
    shown.hidden = !image;
    byId("picture-nothing").hidden = Boolean(image);
    byId("picture-download").hidden = byId("picture-open").hidden = !image;
    byId("picture-nothing").textContent = image ? "" : "There is no picture of it.";
    if (!image) return shown.removeAttribute("src");
    const url = pictureUrl(job.id, image.index);
    Object.assign(shown, { src: url, width: image.width, height: image.height });
    shown.parentElement.classList.toggle("tiny", isTiny(job));
    shown.alt = job.parameters.prompt;
    byId("picture-open").href = url;
    // A download that is redirected to another origin is none: the browser would go there.
    byId("picture-download").href = `${url}?download=true`;
    byId("picture-download").download = fileName(job.parameters.prompt, image.seed);
  }

  #go(by) {
    const pictures = this.wall.pictures();
    const at = pictures.findIndex(([view, index]) => view === this.view && index === this.index);
    const next = pictures.at((at + by) % pictures.length);
    if (next) this.show(...next);
  }

  #deletes() {
    const { job } = this.view;
    const { n } = job.parameters;
    const pictures = hasEnded(job) ? job.images.length : n;
    if (pictures <= 1) return "Delete this?";
    const all = `Delete all ${pictures} pictures of this prompt?`;
    return hasEnded(job) ? all : `${all} Those that are not drawn yet are stopped.`;
  }

  /** That draw this picture, and no other of its job. */
  #parameters() {
    const { parameters } = this.view.job;
    return { ...parameters, n: 1, seed: (parameters.seed + this.index) % 2 ** 32 };
  }
}

/** Whether the answer is yes. */
function isSure(question) {
  const dialog = byId("sure");
  byId("sure-question").textContent = question;
  dialog.returnValue = "";
  dialog.showModal();
  byId("sure-yes").onclick = () => dialog.close("yes");
  byId("sure-no").onclick = () => dialog.close();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Asks for an API key. Resolves to whether one was given or forgotten. */
export function askForKey(problem) {
  const dialog = byId("key");
  const value = byId("key-value");
  const refused = problem && key.get();
  byId("key-problem").textContent = refused ? sentence(problem.message) : "";
  byId("key-forget").hidden = !key.get();
  value.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  value.focus();
  byId("key-cancel").onclick = () => dialog.close();
  byId("key-forget").onclick = () => (key.forget(), dialog.close("changed"));
  byId("key-form").onsubmit = (event) => {
    event.preventDefault();
    const given = value.value.trim();
    if (given && isKey(given)) {
      key.set(given);
      return dialog.close("changed");
    }
    byId("key-problem").textContent = given && UNLIKE_A_KEY;
    value.focus();
  };
  return new Promise((resolve) => {
    const closed = () => resolve(dialog.returnValue === "changed");
    dialog.addEventListener("close", closed, { once: true });
  });
}

function asked(job) {
  const at = new Date(job.created_at);
  return at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

function facts(job, image) {
  const { parameters } = job;
  const { guidance_interval: interval, aug_level: levels, eta, adapters } = parameters;
  return {
    Seed: image?.seed ?? parameters.seed,
    Size: `${parameters.width} × ${parameters.height}`,
    ...(parameters.negative_prompt && { "Negative prompt": parameters.negative_prompt }),
    ...(parameters.n > 1 && { Pictures: parameters.n }),
    "Guidance interval": interval.map(([from, to]) => `${from} to ${to}`).join(", "),
    ...(levels.length > 0 && { "Noise on the input": levels.join(", ") }),
    ...(eta.some(Boolean) && { Eta: eta.map((each) => each ?? "none").join(", ") }),
    ...(adapters.length > 0 && {
      Adapters: adapters.map(({ name, scale }) => `${name} ${scale}`).join(", "),
    }),
    ...(image?.blocked_by && { "Blocked by": image.blocked_by }),
    ...(job.priority !== "normal" && { Priority: job.priority }),
    ...(job.warnings.length > 0 && { Warnings: job.warnings.join("\n") }),
  };
}

function fact([name, value]) {
  const term = document.createElement("dt");
  const told = document.createElement("dd");
  term.textContent = name;
  told.textContent = value;
  return [term, told];
}

/** How it was run, and for how long; of the text there is only the latter. */
function stage(job, times) {
  const at = job.stages.indexOf(times.stage);
  const { steps, guidance_scale: scales, sampler: samplers } = job.parameters;
  const how = `${count(steps[at], "step")}, ${samplers[at]}, guidance ${scales[at]}`;
  const when = [
    times.queued_s !== null && `waited ${precise(times.queued_s)}`,
    times.took_s !== null && `took ${precise(times.took_s)}`,
  ];
  const told = [at >= 0 && how, when.filter(Boolean).join(", ")].filter(Boolean);
  return fact([at < 0 ? "Text" : `${times.stage} px`, told.join("\n")]);
}

const precise = (s) => (s < 1 ? `${Math.round(s * 1000)} ms` : seconds(s));

function fileName(prompt, seed) {
  const words = prompt.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ["picture"];
  return `${words.join("-").slice(0, 60)}-${seed}.png`;
}
