// The page at /: wires form, wall, gallery, dialogs and service together.

import { askForKey, PictureDialog } from "./dialogs.js";
import { follow, hasEnded } from "./follow.js";
import { Form } from "./form.js";
import { Gallery } from "./gallery.js";
import { announce, notice, sentence, told, waiting } from "./notice.js";
import { ask, askUntilThere, isPassing, key, whenKeyIsNeeded } from "./service.js";
import { count, Wall } from "./wall.js";

const EXAMPLES = {
  "picture-book": [
    "a red apple on a blue background",
    "three yellow stars",
    "a big green turtle",
    "a red car on a green background",
    "two cats",
    "four orange fish on a blue background",
    "a penguin",
  ],
};

const byId = (id) => document.getElementById(id);

let following = new AbortController();
let keyAsked = null;
let sending = null;
let looking = null;

const form = new Form(() => draw(form.read()));
const wall = new Wall(byId("wall"), {
  onOpen: (view, index) => picture.open(view, index),
  onCancel: cancel,
});
const gallery = new Gallery(wall, watch);
const picture = new PictureDialog(wall, { onUse: use, onAgain: drawAgain, onDelete: remove });

byId("change-key").addEventListener("click", () => anotherKey());
whenKeyIsNeeded(anotherKey);
start();

/** Whether there is one; those who ask meanwhile share the answer. With it all begins anew. */
function anotherKey(problem) {
  byId("change-key").hidden = false;
  keyAsked ??= askForKey(problem)
    .then((isChanged) => (isChanged && startAnew(), isChanged))
    .finally(() => (keyAsked = null));
  return keyAsked;
}

function startAnew() {
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  following.abort();
  gallery.clear();
  start();
}

function start() {
  following = new AbortController();
  byId("change-key").hidden = !key.get();
  showCascade();
  gallery.list();
}

/** Waits for one, where there is none. */
function showCascade() {
  looking ??= lookForCascade().finally(() => (looking = null));
}

async function lookForCascade() {
  try {
    const model = await askUntilThere("model", (error) => notice("service", waiting(error)));
    notice("service", null);
    if (!form.use(model)) return;
    const { name, stages, known_words: words } = model.cascade;
    const sizes = stages.map(({ size }) => size).join(" → ");
    byId("cascade").textContent = `${name} · ${sizes} px`;
    showExamples(EXAMPLES[name] ?? []);
    byId("words").hidden = words.length === 0;
    byId("words").querySelector("p").textContent = words.join(", ");
  } catch (error) {
    notice("service", told(error));
  }
}

function showExamples(prompts) {
  const items = prompts.map((prompt) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = prompt;
    button.addEventListener("click", () => {
      byId("prompt").value = prompt;
      byId("form").requestSubmit();
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
  byId("examples").hidden = items.length === 0;
  byId("examples").querySelector("ul").replaceChildren(...items);
}

/** Asks for pictures. A request that may have been lost on its way is sent again as the same. */
async function draw(parameters, onRefused = () => {}) {
  if (parameters === null || sending?.isUnderWay) return;
  const body = JSON.stringify(parameters);
  if (sending?.body !== body) sending = { body, key: randomKey() };
  sending.isUnderWay = true;
  try {
    const headers = { "Idempotency-Key": sending.key };
    const job = await ask("generate", { method: "POST", body, headers });
    sending = null;
    notice("draw", null);
    hang(job);
  } catch (error) {
    sending = isPassing(error) ? { ...sending, isUnderWay: false } : null;
    if (error.status === 422) onRefused();
    refuse(error);
  }
}

function hang(job) {
  const { n, prompt, seed } = job.parameters;
  announce(`Drawing ${count(n, "picture")}: ${prompt}`);
  form.keepSeed(seed);
  const view = wall.hang(job);
  gallery.showEmpty();
  if (matchMedia("(pointer: coarse)").matches) byId("prompt").blur(); // the keyboard hides it
  view.comeIntoSight();
  watch(view);
}

function refuse(error) {
  if (isPassing(error) || error.status === 422) showCascade(); // it may be gone, or another
  const elsewhere = form.showErrors(error.errors ?? []);
  if (error.errors?.length && !elsewhere.length) return notice("draw", null);
  const about = elsewhere.map((each) => sentence(`${each.field} ${each.problem}: ${each.remedy}`));
  notice("draw", about.join(" ") || told(error));
}

function use(parameters) {
  form.fill(parameters);
  byId("form").scrollIntoView();
  byId("prompt").focus();
}

/** The form is left alone, but where something is refused: that has its place there. */
function drawAgain({ seed, ...parameters }) {
  draw(parameters, () => form.fill({ ...parameters, seed: "" }));
}

/** Shows what happens to a job until its end. */
async function watch(view) {
  const { id } = view.job;
  const { signal } = following;
  if (view.isWatched || hasEnded(view.job)) return;
  view.isWatched = true;
  notice(id, null);
  const lost = (error) => notice(id, error && `${told(error)} Trying again …`);
  try {
    await follow(id, (name, data) => happened(view, name, data), lost, signal);
  } catch (error) {
    if (!error.status) throw error;
    notice(id, error.status === 404 ? null : told(error));
    if (error.status === 404) wall.remove(id);
  } finally {
    view.isWatched = false;
    if (signal.aborted) notice(id, null);
  }
}

function happened(view, name, data) {
  if (name === "state") view.show(data);
  else if (name === "progress") view.progress(data);
  else if (name === "preview") view.preview(data);
  else if (name === "image") view.image(data);
  else if (name === "end") {
    view.show(data);
    if (data.deleted) wall.remove(data.id);
    else announce([`${view.outcome}: ${data.parameters.prompt}`, ...data.warnings].join(". "));
  }
}

async function cancel(view) {
  try {
    view.show(await ask(`jobs/${view.job.id}/cancel`, { method: "POST" }));
    notice("cancel", null);
  } catch (error) {
    notice("cancel", told(error));
  }
}

async function remove(view) {
  try {
    await ask(`jobs/${view.job.id}`, { method: "DELETE" });
    notice("delete", null);
  } catch (error) {
    if (error.status !== 404) return notice("delete", told(error));
  }
  picture.close();
  wall.remove(view.job.id);
  gallery.showEmpty();
  byId("pictures-label").focus();
}

/** Not randomUUID, which there is only over TLS and on this machine. */
function randomKey() {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((each) => each.toString(16)).join("-");
}
