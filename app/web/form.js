// The form: what a request can say, with the cascade's defaults and limits. Knows no requests.

import { sentence } from "./notice.js";

const PER_STAGE = ["steps", "guidance_scale", "sampler"];
const CARRIED = ["guidance_interval", "eta", "aug_level"];
const FIRST_OF_LIST = /^(\w+)(?:\[(\d+)\])?$/;

const byId = (id) => document.getElementById(id);
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

export class Form {
  constructor(onDraw) {
    this.element = byId("form");
    this.carried = {};
    this.card = null;
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!byId("draw").disabled) onDraw();
    });
    byId("prompt").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.element.requestSubmit();
    });
    this.element.addEventListener("input", ({ target }) => this.#clearError(target));
    byId("size").addEventListener("change", () => this.#showStages());
    byId("fresh-seed").addEventListener("click", () => {
      const [seed] = crypto.getRandomValues(new Uint32Array(1));
      this.#set("seed", seed);
    });
    byId("last-seed").addEventListener("click", () => this.#set("seed", this.lastSeed));
    byId("carried").querySelector("button").addEventListener("click", () => {
      this.#carry({});
      byId("prompt").focus();
    });
  }

  /**
   * From now on by this cascade's defaults and limits; what is filled in stays.
   * Returns whether it is another than before.
   */
  use({ cascade, limits }) {
    if (same(cascade, this.card)) return false;
    this.card = cascade;
    this.limits = limits;
    const counts = Array.from({ length: cascade.max_images }, (_, i) => i + 1);
    const sizes = cascade.stages.map(({ size }) => size);
    this.#choices("n", counts, (n) => n, 1);
    this.#choices("size", sizes, (size) => `${size} × ${size}`, sizes.at(-1));
    byId("seed").max = limits.max_seed;
    this.#showStages();
    byId("draw").disabled = false;
    return true;
  }

  /** The seed that `Last` keeps. */
  keepSeed(seed) {
    this.lastSeed = seed;
    byId("last-seed").disabled = false;
    byId("last-seed").title = `${seed}, the seed of the latest drawing`;
  }

  /** The body of the request; what is left empty is not in it. Null where a field is unreadable. */
  read() {
    this.showErrors([]);
    const unreadable = [...this.element.elements].filter((each) => each.validity.badInput);
    unreadable.forEach((each) => this.#refuse(each, "Is not a number. Use digits, or none."));
    if (unreadable.length > 0) {
      this.#showFirstError();
      return null;
    }
    const body = {
      prompt: byId("prompt").value,
      n: Number(byId("n").value),
      size: Number(byId("size").value),
      ...this.carried,
    };
    for (const name of ["negative_prompt", "seed", "width", "height"]) {
      const { value } = byId(name);
      if (value) body[name] = name === "negative_prompt" ? value : Number(value);
    }
    for (const name of PER_STAGE) {
      const values = this.#perStage(name).map(({ type, value }) => valueOf(type, value));
      if (values.some((value) => value !== null)) body[name] = values;
    }
    const adapters = this.#adapters().filter(({ value }) => value !== "");
    if (adapters.length > 0) {
      body.adapters = adapters.map(({ dataset: { adapter: name }, value }) => {
        return { name, scale: Number(value) };
      });
    }
    return body;
  }

  /** Fills it with the parameters of a job; those that are the cascade's own stay empty. */
  fill(parameters) {
    this.showErrors([]);
    for (const name of ["prompt", "negative_prompt", "n", "seed"]) {
      this.#set(name, parameters[name]);
    }
    if (this.card) this.#fillByStage(parameters);
    byId("details").open ||= this.#hasDetails();
  }

  #fillByStage(parameters) {
    const { size, width, height } = parameters;
    if (this.card.stages.some((stage) => stage.size === size)) this.#set("size", size);
    this.#set("width", width === size ? "" : width);
    this.#set("height", height === size ? "" : height);
    this.#showStages();
    this.#stages().forEach((stage, at) => {
      for (const name of PER_STAGE) {
        const value = parameters[name][at];
        this.#perStage(name)[at].value = value === stage[name] ? "" : (value ?? "");
      }
    });
    this.#fillAdapters(parameters.adapters);
    this.#carry(parameters);
  }

  #fillAdapters(asked) {
    const scales = Object.fromEntries(asked.map(({ name, scale }) => [name, scale]));
    for (const control of this.#adapters()) control.value = scales[control.dataset.adapter] ?? "";
  }

  /** Puts each refusal at its field. Returns those that are about none of them. */
  showErrors(errors) {
    this.element.querySelectorAll("[aria-invalid]").forEach((each) => this.#clearError(each));
    const elsewhere = errors.filter((error) => !this.#showError(error));
    this.#showFirstError();
    return elsewhere;
  }

  #set(name, value) {
    const control = byId(name);
    control.value = value;
    this.#clearError(control);
  }

  #perStage(name) {
    return [...byId("stages").querySelectorAll(`[name="${name}"]`)];
  }

  /** Of the stages that run, in the order in which they are asked for. */
  #adapters() {
    return [...byId("stages").querySelectorAll('[name="adapters"]')];
  }

  /** Those that run at the chosen size. */
  #stages() {
    const size = Number(byId("size").value);
    return this.card.stages.filter((stage) => stage.size <= size);
  }

  #choices(name, values, label, initial) {
    const control = byId(name);
    const chosen = values.map(String).includes(control.value) ? control.value : initial;
    control.replaceChildren(...values.map((value) => new Option(label(value), value)));
    control.value = chosen;
  }

  #showStages() {
    const stages = this.#stages();
    const filled = PER_STAGE.map((name) => this.#perStage(name).map(({ value }) => value));
    const adapters = this.#adapters().map(({ dataset, value }) => {
      return { name: dataset.adapter, scale: value };
    });
    byId("stages").replaceChildren(...stages.map((stage) => this.#stageFields(stage)));
    PER_STAGE.forEach((name, i) =>
      this.#perStage(name).forEach((control, at) => (control.value = filled[i][at] ?? "")),
    );
    this.#fillAdapters(adapters);
    this.#limitSides(stages);
    this.#carry(this.carried);
  }

  #stageFields(stage) {
    const fields = stageFields(stage);
    const own = this.card.adapters.filter((adapter) => adapter.stage === stage.name);
    fields.append(...own.map(({ name }) => adapterField(name, this.limits.max_adapter_scale)));
    return fields;
  }

  /** So that every stage has whole multiples of what it can do; together they may be too many. */
  #limitSides(stages) {
    const { size } = stages.at(-1);
    const step = stages
      .map((stage) => (stage.multiple * size) / divisor(stage.multiple * size, stage.size))
      .reduce((one, other) => (one * other) / divisor(one, other));
    const { max_area_ratio: area, max_aspect_ratio: aspect } = this.card;
    const max = Math.floor((size * Math.sqrt(area * aspect)) / step) * step;
    for (const side of ["width", "height"]) {
      Object.assign(byId(side), { placeholder: size, min: step, max, step });
    }
  }

  /** Keeps what a picture had and the form has no field for, where it is not the default. */
  #carry(parameters) {
    const stages = this.#stages();
    const defaults = {
      guidance_interval: stages.map((stage) => stage.guidance_interval),
      aug_level: stages.map((stage) => stage.aug_level).filter((level) => level !== null),
    };
    const differs = (name) => {
      const value = parameters[name];
      if (name === "eta") return value?.length === stages.length && value.some(Boolean);
      return value?.length === defaults[name].length && !same(value, defaults[name]);
    };
    const kept = CARRIED.filter(differs).map((name) => [name, parameters[name]]);
    this.carried = Object.fromEntries(kept);
    const told = kept.map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(", ");
    byId("carried").hidden = kept.length === 0;
    byId("carried").querySelector("span").textContent = `As in that picture: ${told}`;
  }

  #hasDetails() {
    const controls = [...byId("details").querySelectorAll("input, select")];
    return controls.some(({ value }) => value !== "") || !byId("carried").hidden;
  }

  #showError({ field, problem, remedy }) {
    const [, name, index] = FIRST_OF_LIST.exec(field) ?? [];
    const controls =
      name === "adapters"
        ? this.#adapters().filter(({ value }) => value !== "")
        : this.element.querySelectorAll(`[name="${name}"]`);
    const control = CARRIED.includes(name)
      ? !byId("carried").hidden && byId("carried")
      : controls[index ?? 0];
    if (control) this.#refuse(control, `${sentence(problem)} ${sentence(remedy)}`);
    return Boolean(control);
  }

  #refuse(control, why) {
    this.#clearError(control);
    const message = document.createElement("p");
    message.id = `${control.id}-error`;
    message.className = "error";
    message.textContent = why;
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", message.id);
    (control.closest(".field") ?? control).append(message);
  }

  #showFirstError() {
    const first = this.element.querySelector("[aria-invalid]");
    if (first?.closest("details")) byId("details").open = true;
    first?.focus();
  }

  #clearError(control) {
    if (!control.hasAttribute("aria-invalid")) return;
    control.removeAttribute("aria-invalid");
    control.removeAttribute("aria-describedby");
    byId(`${control.id}-error`).remove();
  }
}

/** The greatest that both have in common. */
function divisor(one, other) {
  return other ? divisor(other, one % other) : one;
}

function valueOf(type, value) {
  if (value === "") return null;
  return type === "number" ? Number(value) : value;
}

function stageFields(stage) {
  const fields = byId("stage-template").content.firstElementChild.cloneNode(true);
  fields.querySelector("legend").textContent = `Stage of ${stage.name} px`;
  for (const field of fields.querySelectorAll(".field")) {
    const control = field.querySelector("input, select");
    control.id = `${control.name}-${stage.name}`;
    field.querySelector("label").htmlFor = control.id;
    control.placeholder = stage[control.name];
    control.max = stage[`max_${control.name}`];
    if (control.name !== "sampler") continue;
    const others = stage.samplers.filter((name) => name !== stage.sampler);
    const usual = new Option(`${stage.sampler} (usual)`, "");
    control.replaceChildren(usual, ...others.map((name) => new Option(name, name)));
  }
  return fields;
}

/** How strongly an adapter is added; empty is not at all. */
function adapterField(name, limit) {
  const field = byId("adapter-template").content.firstElementChild.cloneNode(true);
  const control = field.querySelector("input");
  control.dataset.adapter = name;
  control.id = `adapter-${name}`;
  Object.assign(control, { min: -limit, max: limit });
  const label = field.querySelector("label");
  label.htmlFor = control.id;
  label.textContent = `Adapter ${name}`;
  return field;
}
