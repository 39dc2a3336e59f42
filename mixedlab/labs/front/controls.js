// The inputs of a lab: sliders with their number boxes, choices, switches and the seed.
// They show a state and say what the reader wants of it; they hold none themselves.

import { snap } from "./scale.js";

export class Controls {
  // `change(patch, source)` is told what is wanted; `signal` ends all listening.
  constructor(root, description, change, onHold, signal) {
    this.root = root;
    this.change = change;
    this.onHold = onHold;
    this.fields = new Map(description.controls.map((control) => [control.field, control]));
    this.seedRange = { low: 0, high: description.max_seed, step: 1 };
    this.on = (target, event, action) => target.addEventListener(event, action, { signal });
    this.boxes = this.all("control");
    for (const box of this.boxes) {
      for (const input of box.querySelectorAll("input, select")) this.bind(input, box.dataset.field);
    }
    this.bindSeed();
  }

  all(name) {
    return [...this.root.querySelectorAll(`[data-ml="${name}"]`)];
  }

  bind(input, field) {
    const set = (value) => this.change({ [field]: value }, field);
    const take = () => isNumber(input) && set(snap(Number(input.value), this.fields.get(field)));
    const kind = input.dataset.ml;
    if (kind === "slider") this.bindSlider(input, take);
    else if (kind === "number") this.bindNumber(input, take);
    else this.on(input, "change", () => set(kind === "toggle" ? input.checked : input.value));
  }

  // While a slider is held, by pointer or finger, no axis may change.
  bindSlider(input, take) {
    this.on(input, "input", take);
    this.on(input, "pointerdown", () => this.onHold(true));
    for (const end of ["pointerup", "pointercancel", "change"]) this.on(input, end, () => this.onHold(false));
  }

  // A number that is half typed is left alone; one that is none gives way to what was there.
  bindNumber(input, take) {
    this.on(input, "input", () => (this.typing = input));
    this.on(input, "change", () => {
      this.typing = null;
      take();
      this.show(this.state);
    });
  }

  bindSeed() {
    const [seed] = this.all("seed");
    const set = (value, source) => this.change({ seed: snap(value, this.seedRange) }, source);
    this.bindNumber(seed, () => isNumber(seed) && set(Number(seed.value), "seed"));
    const [button] = this.all("new-sample");
    // Each new sample is a step of its own for "Step back".
    this.on(button, "click", () => {
      const next = (this.state.seed + 1) % (this.seedRange.high + 1);
      set(next, `sample ${next}`);
    });
  }

  show(state) {
    this.state = state;
    for (const box of this.boxes) {
      const { unit } = this.fields.get(box.dataset.field);
      for (const input of box.querySelectorAll("input, select")) {
        this.showInput(input, state[box.dataset.field], unit);
      }
    }
    const [seed] = this.all("seed");
    if (seed !== this.typing) seed.value = state.seed;
  }

  showInput(input, value, unit) {
    if (input.type === "checkbox") input.checked = value;
    else if (input.type === "radio") input.checked = input.value === value;
    else if (input !== this.typing) input.value = value;
    if (input.type !== "range") return;
    const share = (value - input.min) / (input.max - input.min);
    input.style.setProperty("--ml-filled-share", share);
    if (unit) input.setAttribute("aria-valuetext", `${value} ${unit}`);
  }
}

const isNumber = (input) => input.value.trim() !== "" && Number.isFinite(Number(input.value));
