// The wall: a tile for every picture, from the moment it is asked for. Knows no requests.

import { hasEnded } from "./follow.js";
import { pictureUrl } from "./service.js";

const clone = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

const WORDS = { failed: "Failed", canceled: "Canceled", expired: "Too late" };

export const count = (n, one) => `${n} ${one}${n === 1 ? "" : "s"}`;
export const seconds = (s) => (s < 10 ? `${s.toFixed(1)} s` : `${Math.round(s)} s`);

/** So few pixels that they look better sharp than smooth. */
export const isTiny = ({ parameters }) => Math.max(parameters.width, parameters.height) <= 64;

/** In which so many pictures fill their rows. */
const columns = (n) => (n <= 3 ? n : n === 4 ? 2 : n <= 6 ? 3 : 4);

function line(text) {
  const item = document.createElement("li");
  item.textContent = text;
  return item;
}

/** From acceptance to the end. */
const tookSeconds = ({ created_at: created, finished_at: finished }) =>
  (Date.parse(finished) - Date.parse(created)) / 1000;

/** The jobs on the page, the newest first; those that are taken down may still be followed. */
export class Wall {
  constructor(root, { onOpen, onCancel }) {
    this.root = root;
    this.events = { onOpen, onCancel };
    this.jobs = new Map();
    this.latest = null;
    setInterval(() => this.jobs.forEach((job) => job.tick()), 200);
  }

  /** One that was asked for on this page just now: shown first, and large. */
  hang(job) {
    const view = this.append(job);
    this.root.prepend(view.element);
    this.latest?.element.classList.remove("latest");
    this.latest = view;
    view.element.classList.add("latest");
    view.since = performance.now();
    return view;
  }

  /** One that is older than those that are there. */
  append(job) {
    const view = this.jobs.get(job.id) ?? new JobView(job, this.events);
    this.jobs.set(job.id, view);
    this.root.append(view.element);
    return view;
  }

  remove(jobId) {
    this.jobs.get(jobId)?.element.remove();
    this.jobs.delete(jobId);
  }

  /** The views that can be seen, in the order of the page. */
  views() {
    return [...this.root.children].map((element) => this.jobs.get(element.dataset.id));
  }

  /** Every finished picture as [job's view, index], in the order of the page. */
  pictures() {
    return this.views().flatMap((view) => view.job.images.map(({ index }) => [view, index]));
  }

  /** Hides these jobs, until they are appended again. What is over and not the latest is let go. */
  takeDown(ids) {
    for (const id of ids) {
      const view = this.jobs.get(id);
      view?.element.remove();
      if (view && hasEnded(view.job) && view !== this.latest) this.jobs.delete(id);
    }
  }

  clear() {
    [...this.jobs.keys()].forEach((id) => this.remove(id));
    this.latest = null;
  }
}

class JobView {
  constructor(job, { onOpen, onCancel }) {
    this.element = clone("job-template");
    this.head = this.element.querySelector(".job-head");
    this.state = this.element.querySelector(".job-state");
    this.cancel = this.element.querySelector(".cancel");
    this.warnings = this.element.querySelector(".warnings");
    this.since = performance.now() - Math.max(0, Date.now() - Date.parse(job.created_at));
    this.element.dataset.id = job.id;
    this.element.classList.toggle("tiny", isTiny(job));
    this.element.dataset.columns = columns(job.parameters.n);
    this.element.setAttribute("aria-label", job.parameters.prompt);
    this.element.querySelector("h3").textContent = job.parameters.prompt;
    this.cancel.addEventListener("click", () => onCancel(this));
    this.tiles = Array.from({ length: job.parameters.n }, (_, index) => {
      const tile = new Tile(job, index, () => onOpen(this, index));
      this.element.append(tile.element);
      return tile;
    });
    this.show(job);
  }

  /** The job as it stands. */
  show(job) {
    this.job = job;
    const reached = new Map(job.in_progress.map((image) => [image.index, image]));
    job.images.forEach((image) => this.tiles[image.index].finish(image));
    this.tiles.forEach((tile, index) => {
      if (reached.has(index)) tile.progress(reached.get(index));
      else tile.wait(this.#missing(index));
    });
    const ended = hasEnded(job);
    this.element.classList.toggle("ended", ended);
    this.element.classList.toggle("without", ended && job.images.length === 0);
    if (ended && document.activeElement === this.cancel) this.head.focus();
    this.cancel.hidden = ended;
    this.warnings.replaceChildren(...job.warnings.map(line));
    this.tick(true);
  }

  focus() {
    const done = this.tiles.find((tile) => tile.done);
    (done ?? this.tiles[0]).frame.focus();
  }

  comeIntoSight() {
    const { top } = this.element.getBoundingClientRect();
    if (top < 0 || top > innerHeight / 2) this.element.scrollIntoView();
  }

  progress(images) {
    images.forEach((image) => this.tiles[image.index].progress(image));
  }

  preview(preview) {
    this.tiles[preview.index].preview(preview);
  }

  image(image) {
    const others = this.job.images.filter(({ index }) => index !== image.index);
    this.job = { ...this.job, images: [...others, image].sort((a, b) => a.index - b.index) };
    this.tiles[image.index].finish(image);
  }

  /** Time goes on while it is being drawn. */
  tick(changed = false) {
    const { job } = this;
    if (!hasEnded(job)) {
      const elapsed = seconds((performance.now() - this.since) / 1000);
      this.state.textContent = `${this.#doing()} · ${elapsed}`;
    } else if (changed) {
      this.state.textContent = this.outcome;
    }
  }

  /** What has become of it so far, in a few words. */
  get outcome() {
    const { job } = this;
    if (!hasEnded(job)) return this.#doing();
    const pictures = count(job.images.length, "picture");
    if (job.status === "succeeded") return `${pictures} in ${seconds(tookSeconds(job))}`;
    const why = job.error ? `: ${job.error.message}` : "";
    return `${WORDS[job.status]}${why}${job.images.length ? ` · ${pictures}` : ""}`;
  }

  #doing() {
    const { status, queue_position: before } = this.job;
    if (status === "running") return "Drawing";
    if (!before) return "Next in line";
    return `In line, ${count(before, "task")} before it`;
  }

  /** Why there is no picture of this index yet, or never. */
  #missing(index) {
    const { job } = this;
    if (job.error?.image === index) return { word: "Failed", why: job.error.message };
    if (hasEnded(job)) return { word: WORDS[job.status], why: job.error?.message };
    return { word: "Waiting" };
  }
}

/** One picture: awaited, being drawn, or done. */
class Tile {
  constructor(job, index, onOpen) {
    const { parameters, stages } = job;
    this.jobId = job.id;
    this.prompt = parameters.prompt;
    this.name = parameters.n > 1 ? `Picture ${index + 1} of ${parameters.n}` : "Picture";
    this.stages = stages;
    this.shown = -1;
    this.done = false;
    this.element = clone("tile-template");
    this.frame = this.element.querySelector(".frame");
    this.layers = this.element.querySelector(".layers");
    this.bar = this.element.querySelector(".bar");
    this.caption = this.element.querySelector("figcaption");
    this.element.style.setProperty("--ratio", parameters.width / parameters.height);
    this.bar.setAttribute("aria-label", this.name);
    this.frame.setAttribute("aria-label", `${this.name}: ${this.prompt}`);
    this.frame.addEventListener("click", onOpen);
    this.parts = stages.map((_, stage) => {
      const part = this.bar.appendChild(document.createElement("span"));
      part.style.flexGrow = parameters.steps[stage];
      return part.appendChild(document.createElement("span"));
    });
  }

  /** There is no picture, and nobody is at it. */
  wait({ word, why }) {
    if (this.done) return;
    const ended = word !== "Waiting";
    this.frame.disabled = !ended;
    this.#be(ended ? "lacking" : "waiting", [word, why].filter(Boolean).join(": "));
  }

  progress({ stage, step, steps }) {
    if (this.done) return;
    const at = this.stages.indexOf(stage);
    this.parts.forEach((part, i) => {
      part.style.width = `${i < at ? 100 : i === at ? (100 * step) / steps : 0}%`;
    });
    const share = (at + step / steps) / this.stages.length;
    this.bar.setAttribute("aria-valuenow", Math.round(100 * share));
    this.bar.setAttribute("aria-valuetext", `${stage} pixels, step ${step} of ${steps}`);
    this.#be("drawing", `${stage} px · step ${step} of ${steps}`);
  }

  /** What it looks like so far; nothing, where what is shown is newer. */
  preview({ stage, step, steps, url }) {
    const rank = this.stages.indexOf(stage) + step / (steps + 1);
    if (this.done || rank < this.shown) return;
    this.progress({ stage, step, steps });
    this.#show(url, rank);
  }

  finish({ index, seed, blocked_by: blockedBy }) {
    if (this.done) return;
    this.done = true;
    this.frame.disabled = false;
    this.frame.setAttribute("aria-label", `${this.name}: ${this.prompt}, seed ${seed}`);
    this.#be("done", blockedBy ? `Blocked: ${blockedBy}` : this.prompt);
    this.element.classList.toggle("blocked", Boolean(blockedBy));
    this.#show(pictureUrl(this.jobId, index), Infinity);
  }

  #be(state, caption) {
    this.element.dataset.state = state;
    this.caption.textContent = caption;
  }

  /** Fades a picture in over those of lower rank, once it can be seen. */
  async #show(url, rank) {
    const image = new Image();
    image.alt = "";
    image.addEventListener("error", () => {
      if (this.done) this.#be("lacking", "The picture cannot be loaded");
    });
    const below = [...this.layers.children];
    if (below.length === 0) image.loading = "lazy";
    image.src = url;
    if (below.length > 0) await image.decode().catch(() => {});
    if (rank < this.shown) return;
    this.shown = rank;
    this.layers.append(image);
    await Promise.allSettled(image.getAnimations().map((fade) => fade.finished));
    below.forEach((each) => each.remove());
  }
}
