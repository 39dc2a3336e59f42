// A lab's front end: an anywidget module without framework or build step.
//
// The HTML is made by Python (labs/kit/shell.py) and may stand in the page already; this module
// binds behaviour to its data-ml attributes and draws the scenes that Python sends. It knows nothing
// of statistics and nothing of its host. The messages are described in PROTOCOL.md.

import { Controls } from "./controls.js";
import { bindFolds } from "./folds.js";
import { Gate } from "./gate.js";
import { Goals } from "./goals.js";
import { Plot } from "./plot.js";
import { Replicates } from "./replicates.js";
import { Requests } from "./requests.js";
import { Share } from "./share.js";
import { capital, setText } from "./text.js";

const SPEAK_AFTER = 350; // ms without a change before the summary is spoken
const SLOW_AFTER = 2500; // ms after which the reader is told that Python is still at work
const LOST_AFTER = 10_000; // ms after which a notebook's reader is told what may have happened
const SAME_GESTURE = 900; // ms within which changes of one control are one step back

class LabView {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.description = model.get("description");
    this.undo = new AbortController(); // removes every listener at once
    this.plots = new Map();
    this.past = [];
    this.live = false;
    this.requests = new Requests(model, this.description.name, {
      onScene: (message) => this.received(message),
      onReplicate: (message) => this.receivedReplicates(message),
      onError: (message, kind) => this.failed(message, kind),
      onStatus: (status) => this.showStatus(status),
    });
    this.state = this.startState();
    this.wanted = this.state;
    this.host = {
      onDrag: (patch, source) => this.change(patch, source),
      controlOf: (field) => this.inputs.fields.get(field),
      stateNow: () => this.wanted,
      onHold: (held) => this.onHold(held),
      onPoint: (key) => this.light(key),
      isBet: (field) => this.gate.open && this.description.bet.field === field,
    };
    this.gate = new Gate(this);
    for (const figure of this.all("panel")) this.plots.set(figure.dataset.panel, { figure });
    this.makeReplicates();
    const change = (patch, source) => this.change(patch, source);
    this.inputs = new Controls(root, this.description, change, this.host.onHold, this.undo.signal);
    this.goals = new Goals(root, this.description.name, this.description.goals, {
      change, signal: this.undo.signal,
    });
    this.sharing = new Share(this);
    bindFolds(root, this.undo.signal);
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
    this.gate.show();
    this.showControls();
    if (scene) this.show(this.state, scene, { move: false });
    const asked = this.sharing.follow();
    if (!scene && !asked) this.requests.askScene(this.state);
    const status = this.model.get("status");
    if (status) this.showStatus(status);
  }

  plotIn(figure, title) {
    const plot = new Plot(this.part("plot", figure), title, this.host);
    plot.afterDraw = () => this.gate.draw(figure.dataset.panel, plot);
    return plot;
  }

  makeReplicates() {
    if (!this.part("replicates")) return;
    this.replicates = new Replicates((name) => this.part(name), this.description.statistics, {
      ask: (...what) => this.requests.askReplicates(this.wanted, ...what),
      drop: () => this.requests.dropReplicates(),
      makePlot: (figure, title) => this.plotIn(figure, title),
      showSample: ({ state, scene }) => this.show(state, scene),
      leave: ({ lifts }) => this.placeOf(lifts),
    });
  }

  // Where a "panel/mark/item" stands on the screen; the hero's middle where there is none.
  placeOf(path) {
    const [panel, mark, ...key] = path.split("/");
    const place = this.plots.get(panel)?.plot?.placeOf(mark, key.join("/"));
    if (place) return place;
    const box = this.root.querySelector("[data-hero]").getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
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
    this.gate.fresh = false;
    if (this.gate.moving) this.gate.settle();
    this.ask(next);
  }

  ask(state) {
    this.wanted = state;
    this.replicates?.clear();
    this.showControls();
    this.requests.askScene(state);
    clearTimeout(this.slow);
    this.slow = setTimeout(() => this.stillComputing(), SLOW_AFTER);
  }

  stillComputing() {
    setText(this.part("status-text"), "Still computing ...");
    if (this.description.share === "link") return;
    this.slow = setTimeout(() => {
      this.root.dataset.phase = "failed";
      setText(this.part("status-text"), "No answer. If Python was restarted, run the cell again.");
    }, LOST_AFTER);
  }

  // A widget does not outlive its Python. JupyterLab says when that stops; elsewhere silence tells.
  watchPython() {
    this.kernel = this.model.widget_manager?.kernel;
    this.heard = (_, status) => {
      if (!["restarting", "autorestarting", "terminating", "dead"].includes(status)) return;
      clearTimeout(this.slow);
      this.showStatus({ phase: "failed", text: "Python has stopped: run the cell again." });
      this.part("retry").hidden = true;
    };
    this.kernel?.statusChanged?.connect(this.heard);
  }

  answered() {
    clearTimeout(this.slow);
    if (this.live) setText(this.part("status-text"), "Live");
    else this.showStatus({ phase: "ready" });
  }

  received({ state, scene, met }) {
    const latest = this.requests.waiting === null;
    // The first scene of a drag eases; the next ones follow the hand, however long Python takes.
    const drags = performance.now() - (this.lastPaint ?? 0) < 120 || this.follows === true;
    this.follows = this.held === true;
    if (latest) this.wanted = state;
    this.hideError();
    this.answered();
    this.show(state, scene, { move: !drags, slow: this.slowly === true });
    this.goals.take(met ?? [], !this.gate.open);
    this.slowly = false;
    this.lastPaint = performance.now();
    if (latest) this.showControls();
    this.writeTraits(state);
  }

  receivedReplicates(message) {
    this.replicates.receive(message, this.state);
    this.tell("ml-replicated", { done: this.replicates.done });
  }

  show(state, scene, motion = {}) {
    this.state = state;
    this.scene = scene;
    for (const panel of scene.panels) {
      const place = this.plots.get(panel.key);
      if (!place) continue;
      place.plot ??= this.plotIn(place.figure, panel.title);
      place.plot.entitle(panel.title);
      place.plot.show(panel, state, { ...motion, frozen: this.held === true });
    }
    this.showWords();
    this.tell("ml-drawn", { state, scene });
  }

  tell(event, detail) {
    this.root.dispatchEvent(new CustomEvent(event, { bubbles: true, detail }));
  }

  // While a control is held no axis changes its range; on release they ease.
  onHold(held) {
    if (this.held === held) return;
    this.held = held;
    this.root.toggleAttribute("data-held", held);
    if (!held) for (const { plot } of this.plots.values()) plot?.thaw();
  }

  // Items with this key are lit in every panel.
  light(key) {
    if (key === this.lit) return;
    this.lit = key;
    for (const { plot } of this.plots.values()) plot?.light(key);
  }

  failed({ message, state }, kind) {
    if (kind === "replicate") this.replicates.stop();
    setText(this.part("error-text"), `This did not work: ${message}`);
    this.showErrorLink(this.sharing.link(state ?? this.wanted));
    this.part("error").hidden = false;
    this.answered();
  }

  showErrorLink(link) {
    const place = this.part("error-link");
    const url = this.description.share === "link";
    if (url) place.href = link;
    else place.removeAttribute("href");
    setText(place, url ? "Link to this state" : link);
  }

  hideError() {
    const error = this.part("error");
    if (!error.hidden) error.hidden = true;
  }

  // phase: download, start, ready, failed
  showStatus({ phase, text, fraction }) {
    this.root.dataset.phase = phase;
    this.live = phase === "ready";
    setText(this.part("status-text"), this.live ? "Live" : text ?? "");
    this.part("boot").style.setProperty("--ml-fraction", this.live ? 1 : fraction ?? 0);
    this.part("controls").disabled = !this.live;
    for (const name of ["seed", "reset"]) this.part(name).disabled = !this.live;
    this.part("retry").hidden = phase !== "failed";
    this.showReplicateGate();
  }

  // ---- the words beside the picture

  showWords() {
    const { scene } = this;
    const { stage, verdict } = this.gate;
    const truth = stage === 2;
    setText(this.part("question"), scene.ask || this.description.bet.ask);
    setText(this.part("outcome-text"), truth ? `${scene.outcome} ${scene.outcome_truth}` : scene.outcome);
    const later = truth && scene.headline_truth;
    const headline = later || scene.headline || "";
    const judged = !later || scene.answer_truth != null; // the truth may speak of something else
    const words = headline && capital((judged ? verdict : "") + headline);
    setText(this.part("headline"), stage === 0 ? "" : words);
    this.root.toggleAttribute("data-told", stage > 0 && words !== "");
    this.gate.showWager();
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => this.speak(words), SPEAK_AFTER);
  }

  speak(headline) {
    const { summary, summary_before: before, outcome_truth: truth } = this.scene;
    const { stage } = this.gate;
    const after = stage === 1 ? summary : `${summary} ${truth}`;
    setText(this.part("summary"), (stage === 0 ? before : `${headline}. ${after}`).trim());
  }

  showReplicateGate() {
    for (const button of this.all("replicate")) button.disabled = !this.live || this.gate.open || this.gate.moving;
  }

  // A helper and the hero change places.
  swap(figure) {
    const hero = this.root.querySelector("[data-hero]");
    if (figure === hero) return;
    hero.removeAttribute("data-hero");
    if (figure.dataset.folded) hero.dataset.folded = "true";
    figure.removeAttribute("data-folded");
    figure.dataset.hero = "true";
    figure.querySelector("figcaption").after(this.part("headline"));
    this.part("swap", hero)?.focus({ preventScroll: true });
  }

  // ---- controls

  showControls() {
    this.inputs.show(this.wanted);
    this.part("back").disabled = this.past.length === 0;
  }

  bindTools() {
    this.on(this.part("retry"), "click", () => this.model.send({ kind: "retry" }));
    this.on(this.part("error-close"), "click", () => this.hideError());
    this.on(this.root, "submit", (event) => event.preventDefault());
    for (const swap of this.all("swap")) this.on(swap, "click", () => this.swap(swap.closest("figure")));
    // Focus is shown to who uses keys, not to who presses with a mouse.
    this.on(this.root, "pointerdown", () => (this.root.dataset.by = "pointer"));
    this.on(this.root, "keydown", () => delete this.root.dataset.by);
    // JupyterLab's shortcuts take the arrow keys from whatever has the focus unless it says this.
    this.on(this.root, "focusin", ({ target }) => {
      target.setAttribute("data-lm-suppress-shortcuts", "true");
    });
    this.on(this.part("reset"), "click", () => this.change(this.description.defaults, "reset"));
    this.on(this.part("back"), "click", () => {
      this.lastSource = null;
      if (this.past.length) this.ask(this.past.pop());
      if (!this.past.length) this.part("reset").focus({ preventScroll: true });
    });
    this.bindFullScreen();
    for (const button of this.all("replicate")) {
      this.on(button, "click", () => this.replicates.run(Number(button.dataset.count)));
    }
    this.on(this.part("stop"), "click", () => this.replicates.stop());
    this.on(this.part("clear"), "click", () => this.replicates.clear());
  }

  // For the projector: the lab alone, as wide as the screen.
  bindFullScreen() {
    const button = this.part("full");
    button.disabled = !document.fullscreenEnabled;
    this.on(button, "click", () => {
      if (document.fullscreenElement) document.exitFullscreen();
      else this.root.requestFullscreen();
    });
    this.on(document, "fullscreenchange", () => {
      setText(button, document.fullscreenElement === this.root ? "Leave" : "Full screen");
    });
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
    this.watchPython();
  }

  writeTraits(state) {
    if (!this.fields.length || this.requests.waiting) return;
    this.writing = true;
    for (const field of this.fields) this.model.set(field, state[field]);
    this.model.save_changes();
    this.writing = false;
  }

  close() {
    this.undo.abort();
    this.requests.close();
    for (const field of this.fields) this.model.off(`change:${field}`, this.followTrait);
    this.kernel?.statusChanged?.disconnect(this.heard);
    for (const { plot } of this.plots.values()) plot?.close();
    this.replicates?.close();
    clearTimeout(this.speaking);
    clearTimeout(this.slow);
  }
}

const same = (a, b) => Object.keys(a).every((field) => a[field] === b[field]);

function render({ model, el }) {
  let shown = null;
  const open = () => {
    shown = new LabView(model, el.querySelector('[data-ml="lab"]'));
  };
  const fill = () => {
    shown?.close();
    el.innerHTML = model.get("shell");
    open();
  };
  if (el.querySelector('[data-ml="lab"]')) open();
  else fill();
  model.on("change:shell", fill); // a widget whose lab is another one from now on
  return () => {
    model.off("change:shell", fill);
    shown.close();
  };
}

export default { render };
