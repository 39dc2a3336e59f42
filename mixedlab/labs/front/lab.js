// A lab's front end: an anywidget module without framework or build step.
//
// The HTML is made by Python (labs/shell.py) and may stand in the page already; this module binds
// behaviour to its data-ml attributes and draws the scenes that Python sends. It knows nothing of
// statistics and nothing of its host. The messages are described in PROTOCOL.md.

import { Plot } from "./plot.js";
import { Requests } from "./requests.js";
import { snap } from "./scale.js";

const STAGES = ["data", "estimate", "truth"];
const SPEAK_AFTER = 350; // ms without a change before the summary is spoken
const SAME_GESTURE = 900; // ms within which changes of one control are one step back
const CHUNK_MS = 100; // replicates come in pieces of about this length, so that they can be stopped
const MOST_AT_ONCE = 250;

class LabView {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.description = model.get("description");
    this.controls = new Map(this.description.controls.map((c) => [c.field, c]));
    this.undo = new AbortController(); // removes every listener at once
    this.plots = new Map();
    this.past = [];
    this.answer = null;
    this.stage = 0;
    this.live = false;
    this.replicates = { values: {}, done: 0, goal: 0, chunk: 1, way: Infinity };
    this.requests = new Requests(model, this.description.name, {
      onScene: (message) => this.received(message.state, message.scene),
      onReplicate: (message) => this.receivedReplicates(message),
      onError: (message, kind) => this.failed(message, kind),
      onStatus: (status) => this.showStatus(status),
    });
    this.state = this.startState();
    this.wanted = this.state;
    this.makePlots();
    this.bindGate();
    this.bindControls();
    this.bindTools();
    this.bindTraits();
    this.start();
  }

  part(name, within = this.root) {
    return within.querySelector(`[data-ml="${name}"]`);
  }

  all(name) {
    return [...this.root.querySelectorAll(`[data-ml="${name}"]`)];
  }

  on(target, event, action) {
    target?.addEventListener(event, action, { signal: this.undo.signal });
  }

  // ---- start

  startState() {
    const state = { ...(this.model.get("state") ?? this.description.defaults) };
    for (const field of Object.keys(state)) state[field] = this.model.get(field) ?? state[field];
    return state;
  }

  start() {
    const scene = this.model.get("scene");
    if (scene) this.show(this.state, scene, false);
    this.showGate();
    this.showControls();
    const asked = this.followLink();
    if (!scene && !asked) this.requests.askScene(this.state);
    const status = this.model.get("status");
    if (status) this.showStatus(status);
    if (this.description.share === "link") this.on(window, "hashchange", () => this.followLink());
  }

  makePlots() {
    for (const figure of this.all("panel")) {
      const box = this.part("plot", figure);
      this.plots.set(figure.dataset.panel, { figure, box, plot: null });
    }
  }

  plotIn({ box }, title) {
    return new Plot(box, {
      label: title,
      onDrag: (patch, source) => this.change(patch, source),
      controlOf: (field) => this.controls.get(field),
    });
  }

  // ---- scenes

  // Ask for the scene of a changed state. Changes by one source in quick succession are one step.
  change(patch, source) {
    const next = { ...this.wanted, ...patch };
    if (same(next, this.wanted)) return;
    const now = performance.now();
    if (source !== this.lastSource || now - this.lastChange > SAME_GESTURE) {
      this.past.push(this.wanted);
      if (this.past.length > 200) this.past.shift();
    }
    this.lastSource = source;
    this.lastChange = now;
    this.ask(next);
  }

  ask(state) {
    this.wanted = state;
    this.clearReplicates();
    this.showControls();
    this.requests.askScene(state);
  }

  received(state, scene) {
    const latest = this.requests.waiting === null;
    const drags = performance.now() - (this.lastPaint ?? 0) < 120;
    if (latest) this.wanted = state;
    this.hideError();
    if (!this.live) this.showStatus({ phase: "ready" });
    this.show(state, scene, !drags);
    this.lastPaint = performance.now();
    if (latest) this.showControls();
    this.writeTraits(state);
  }

  show(state, scene, move) {
    this.state = state;
    this.scene = scene;
    for (const panel of scene.panels) {
      const place = this.plots.get(panel.key);
      if (!place) continue;
      place.plot ??= this.plotIn(place, panel.title);
      setText(this.part("panel-title", place.figure), panel.title);
      place.plot.name(panel.title);
      place.plot.show(panel, state, { move });
    }
    this.showOutcome();
    this.speak();
    this.root.dispatchEvent(new CustomEvent("ml-drawn", { bubbles: true, detail: { state, scene } }));
  }

  speak() {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      const { summary, summary_before: before, outcome_truth: truth } = this.scene;
      const words = this.stage === 0 ? before : this.stage === 1 ? summary : `${summary} ${truth}`;
      setText(this.part("summary"), words.trim());
    }, SPEAK_AFTER);
  }

  failed({ message, state }, kind) {
    if (kind === "replicate") this.stopReplicates();
    setText(this.part("error-text"), `This did not work: ${message}`);
    this.showErrorLink(this.link(state ?? this.wanted));
    this.part("error").hidden = false;
    if (!this.live) this.showStatus({ phase: "ready" });
  }

  showErrorLink(link) {
    const place = this.part("error-link");
    const url = this.description.share === "link";
    if (url) place.href = link;
    else place.removeAttribute("href");
    setText(place, url ? "Link to this state" : link);
  }

  hideError() {
    this.part("error").hidden = true;
  }

  // phase: download, start, ready, failed
  showStatus({ phase, text, fraction }) {
    this.root.dataset.phase = phase;
    this.live = phase === "ready";
    setText(this.part("status-text"), this.live ? "Live" : text ?? "");
    this.part("boot").style.setProperty("--ml-fraction", this.live ? 1 : fraction ?? 0);
    this.part("controls").disabled = !this.live;
    const replicates = this.part("replicates");
    if (replicates) replicates.disabled = !this.live;
    this.part("retry").hidden = phase !== "failed";
    this.showReplicateGate();
  }

  // ---- the prediction and the stages

  bindGate() {
    for (const option of this.all("option")) {
      this.on(option, "click", () => this.predict(Number(option.dataset.option)));
    }
    this.on(this.part("skip"), "click", () => this.predict(-1));
    this.on(this.part("again"), "click", () => this.predictAgain());
    this.on(this.part("truth"), "click", () => this.showStage(this.stage === 2 ? 1 : 2));
    this.on(this.part("retry"), "click", () => this.model.send({ kind: "retry" }));
    this.on(this.part("error-close"), "click", () => this.hideError());
    this.on(this.root, "submit", (event) => event.preventDefault());
  }

  // The answer is kept as it is given; -1 is "show without answering".
  predict(option) {
    this.answer = option;
    this.showStage(1);
    (this.part("truth") ?? this.part("again")).focus({ preventScroll: true });
  }

  predictAgain() {
    this.answer = null;
    this.showStage(0);
    this.clearReplicates();
    this.part("option")?.focus({ preventScroll: true });
  }

  showStage(stage) {
    this.stage = stage;
    this.showGate();
    if (!this.scene) return;
    this.showOutcome();
    this.speak();
  }

  showGate() {
    const open = this.stage === 0;
    this.root.dataset.stage = STAGES[this.stage];
    for (const option of this.all("option")) {
      const chosen = Number(option.dataset.option) === this.answer;
      option.setAttribute("aria-pressed", String(chosen));
      option.disabled = !open;
    }
    this.part("skip").disabled = !open;
    this.part("again").disabled = open;
    const truth = this.part("truth");
    if (truth) {
      truth.disabled = open;
      truth.setAttribute("aria-pressed", String(this.stage === 2));
    }
    const text = this.description.question.options[this.answer];
    setText(this.part("said"), text ? `You said: ${text.replace(/\.$/, "")}.` : "");
    this.showReplicateGate();
  }

  showReplicateGate() {
    for (const button of this.all("replicate")) button.disabled = !this.live || this.stage === 0;
  }

  showOutcome() {
    const { outcome, outcome_truth: truth } = this.scene;
    setText(this.part("outcome-text"), this.stage === 2 ? `${outcome} ${truth}` : outcome);
  }

  // ---- controls

  bindControls() {
    for (const box of this.all("control")) {
      const field = box.dataset.field;
      const control = this.controls.get(field);
      const typed = (input) => {
        if (input.value.trim() !== "" && Number.isFinite(Number(input.value))) {
          this.change({ [field]: snap(Number(input.value), control) }, field);
        }
      };
      for (const input of box.querySelectorAll("input, select")) {
        const kind = input.dataset.ml;
        if (kind === "slider") this.on(input, "input", () => typed(input));
        else if (kind === "number") {
          this.on(input, "input", () => (this.typing = input));
          this.on(input, "change", () => {
            this.typing = null;
            typed(input);
            this.showControls();
          });
        } else if (kind === "toggle") {
          this.on(input, "change", () => this.change({ [field]: input.checked }, field));
        } else this.on(input, "change", () => this.change({ [field]: input.value }, field));
      }
    }
  }

  showControls() {
    for (const box of this.all("control")) {
      const { field } = box.dataset;
      const { unit } = this.controls.get(field);
      const value = this.wanted[field];
      for (const input of box.querySelectorAll("input, select")) {
        if (input.type === "checkbox") input.checked = value;
        else if (input.type === "radio") input.checked = input.value === value;
        else if (input !== this.typing) input.value = value; // a number half typed is left alone
        if (input.type === "range") {
          const share = (value - input.min) / (input.max - input.min);
          input.style.setProperty("--ml-filled-share", share);
          if (unit) input.setAttribute("aria-valuetext", `${value} ${unit}`);
        }
      }
    }
    this.part("seed").value = this.wanted.seed;
    this.part("back").disabled = this.past.length === 0;
    let note = "";
    for (const button of this.all("preset")) {
      const preset = this.description.presets[button.dataset.preset];
      const chosen = same(preset.state, this.wanted);
      button.setAttribute("aria-pressed", String(chosen));
      if (chosen) note = preset.note;
    }
    const place = this.part("preset-note");
    if (place) setText(place, note);
  }

  bindTools() {
    if (this.description.share !== "link") setText(this.part("share-text"), "Copy as Python");
    const seed = this.part("seed");
    this.on(seed, "change", () => {
      const { max_seed: high, defaults } = this.description;
      const number = seed.value.trim() === "" ? defaults.seed : Number(seed.value);
      this.change({ seed: snap(number, { low: 0, high, step: 1 }) }, "seed");
      this.showControls();
    });
    this.on(this.part("new-sample"), "click", () => {
      this.change({ seed: (this.wanted.seed + 1) % this.description.max_seed }, `seed${this.wanted.seed}`);
    });
    for (const button of this.all("preset")) {
      const preset = this.description.presets[button.dataset.preset];
      this.on(button, "click", () => this.change(preset.state, `preset ${preset.label}`));
    }
    this.on(this.part("reset"), "click", () => this.change(this.description.defaults, "reset"));
    this.on(this.part("back"), "click", () => {
      this.lastSource = null;
      if (this.past.length) this.ask(this.past.pop());
      if (!this.past.length) this.part("reset").focus({ preventScroll: true });
    });
    this.on(this.part("share"), "click", () => this.share());
    for (const button of this.all("replicate")) {
      this.on(button, "click", () => this.runReplicates(Number(button.dataset.count)));
    }
    this.on(this.part("stop"), "click", () => this.stopReplicates());
    this.on(this.part("clear"), "click", () => this.clearReplicates());
  }

  // In a notebook each field is a trait: written here, and followed where Python writes it.
  bindTraits() {
    this.fields = Object.keys(this.state).filter((field) => this.model.get(field) !== undefined);
    this.followTrait = () => {
      if (this.writing) return;
      const values = Object.fromEntries(this.fields.map((f) => [f, this.model.get(f)]));
      this.change(values, "trait");
    };
    for (const field of this.fields) this.model.on(`change:${field}`, this.followTrait);
  }

  writeTraits(state) {
    if (!this.fields.length || this.requests.waiting) return;
    this.writing = true;
    for (const field of this.fields) this.model.set(field, state[field]);
    this.model.save_changes();
    this.writing = false;
  }

  // ---- links

  link(state) {
    const { name, defaults, share } = this.description;
    const changed = Object.entries(state).filter(([field, value]) => value !== defaults[field]);
    if (share !== "link") {
      const settings = changed.map(([field, value]) => `, ${field}=${python(value)}`).join("");
      return `ml.lab("${name}"${settings})`;
    }
    const query = new URLSearchParams(changed.map(([field, value]) => [field, String(value)]));
    if (this.answer !== null) query.set("answer", this.answer);
    if (this.stage > 0) query.set("stage", STAGES[this.stage]);
    return `${location.href.split("#")[0]}#${name}?${query}`;
  }

  // What a link says is untrusted: Python cleans the state, the rest must be one of what there is.
  followLink() {
    if (this.description.share !== "link") return false;
    const [name, query] = location.hash.slice(1).split(/\?(.*)/s);
    if (name !== this.description.name || query === undefined) return false;
    const given = new URLSearchParams(query);
    const options = this.description.question.options.length;
    const answer = /^-?\d+$/.test(given.get("answer") ?? "") ? Number(given.get("answer")) : null;
    this.answer = answer !== null && answer >= -1 && answer < options ? answer : null;
    const stage = Math.max(0, STAGES.indexOf(given.get("stage")));
    if (stage > 0 && this.answer === null) this.answer = -1;
    this.showStage(this.answer === null ? 0 : Math.max(1, stage));
    const state = { ...this.description.defaults };
    for (const field of Object.keys(state)) if (given.has(field)) state[field] = given.get(field);
    this.requests.askScene(state);
    this.root.scrollIntoView({ block: "start" });
    return true;
  }

  async share() {
    const text = this.link(this.wanted);
    const copied = await copy(text);
    this.root.dataset.shared = copied ? "yes" : "no";
    if (!copied) window.prompt("Copy this:", text);
    setTimeout(() => delete this.root.dataset.shared, 2000);
  }

  // ---- replicates

  runReplicates(count) {
    const run = this.replicates;
    run.goal = run.done + count;
    run.first = run.done;
    this.part("stop").disabled = false;
    this.nextReplicates();
  }

  nextReplicates() {
    const run = this.replicates;
    const count = Math.min(run.chunk, run.goal - run.done);
    run.askedAt = performance.now();
    this.requests.askReplicates(this.wanted, run.done, count, run.values);
  }

  receivedReplicates({ values, panel, summary }) {
    const run = this.replicates;
    const done = Math.max(...Object.values(values).map((v) => v.length));
    // What the quickest answer took is the way there and back; the rest is work.
    const took = performance.now() - run.askedAt;
    run.way = Math.min(run.way, took);
    if (took - run.way < CHUNK_MS) run.chunk = Math.min(MOST_AT_ONCE, 2 * run.chunk);
    else if (took - run.way > 3 * CHUNK_MS) run.chunk = Math.max(1, run.chunk >> 1);
    const stuck = done === run.done; // there is a largest number of replicates
    run.values = values;
    run.done = done;
    const figure = this.part("replicate-panel");
    figure.hidden = false;
    run.plot ??= this.plotIn({ figure, box: this.part("plot", figure) }, panel.title);
    setText(this.part("panel-title", figure), panel.title);
    run.plot.name(panel.title);
    run.plot.show(panel, this.state);
    this.showProgress();
    if (!stuck && run.done < run.goal) this.nextReplicates();
    else this.stopReplicates();
    run.summary = summary ?? panel.title;
    this.root.dispatchEvent(new CustomEvent("ml-replicated", { bubbles: true, detail: { done } }));
  }

  stopReplicates() {
    const run = this.replicates;
    run.goal = run.done;
    this.requests.dropReplicates();
    const stop = this.part("stop");
    if (!stop) return;
    if (document.activeElement === stop) this.part("replicate").focus({ preventScroll: true });
    stop.disabled = true;
    this.showProgress();
    setTimeout(() => setText(this.part("replicate-summary"), run.done ? run.summary ?? "" : ""), SPEAK_AFTER);
  }

  // Other values of the controls are another study: its samples start anew.
  clearReplicates() {
    if (!this.part("replicates")) return;
    this.replicates.values = {};
    this.replicates.done = 0;
    this.stopReplicates();
    this.part("replicate-panel").hidden = true;
  }

  showProgress() {
    const { done, goal, first } = this.replicates;
    const bar = this.part("progress");
    bar.value = goal > done ? (done - first) / (goal - first) : done ? 1 : 0;
    setText(this.part("count"), done ? String(done) : "");
    this.part("clear").disabled = done === 0;
  }

  close() {
    this.undo.abort();
    this.requests.close();
    for (const field of this.fields) this.model.off(`change:${field}`, this.followTrait);
    for (const { plot } of this.plots.values()) plot?.close();
    this.replicates.plot?.close();
    clearTimeout(this.speaking);
  }
}

const same = (a, b) => Object.keys(a).every((field) => a[field] === b[field]);

function setText(el, text) {
  if (el && el.textContent !== text) el.textContent = text;
}

const python = (value) =>
  typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function render({ model, el }) {
  if (!el.querySelector('[data-ml="lab"]')) el.innerHTML = model.get("shell");
  const view = new LabView(model, el.querySelector('[data-ml="lab"]'));
  return () => view.close();
}

export default { render };
