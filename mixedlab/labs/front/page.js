// The published page as host of the labs: finds them, gives each the model object that lab.js
// expects (see PROTOCOL.md), and lets one Python in a worker answer them all.

const SLOW_AFTER = 12_000; // ms without news before the reader is told that it takes long

/** Python in a worker, shared by all labs of the page. */
class Engine {
  constructor(packages) {
    this.packages = packages;
    this.models = [];
    this.status = { phase: "download", text: "Getting Python ready ...", fraction: 0 };
    this.waiting = [];
    this.start();
  }

  start() {
    if (typeof WebAssembly !== "object") {
      this.fail("This browser has no WebAssembly, which Python needs here.");
      return;
    }
    const url = new URL("worker.js", import.meta.url);
    try {
      // The next page of the book finds a shared worker alive: Python starts once per visit.
      const options = { type: "module", name: "mixedlab", extendedLifetime: true };
      this.worker = new SharedWorker(url, options);
      this.port = this.worker.port;
    } catch {
      this.worker = new Worker(url, { type: "module", name: "mixedlab" });
      this.port = this.worker;
    }
    this.worker.onerror = (event) => {
      this.fail(`The program that runs Python could not be started. ${event.message ?? ""}`);
    };
    this.port.onmessage = ({ data }) => this.receive(data);
    this.port.postMessage({ open: this.packages });
    this.watch();
  }

  /** Try again after a failure; labs call it by sending {kind: "retry"}. */
  retry() {
    if (this.status.phase !== "failed") return;
    this.worker?.terminate?.();
    this.tell({ phase: "download", text: "Trying again ...", fraction: 0 });
    this.start();
  }

  watch() {
    clearTimeout(this.slow);
    if (this.status.phase === "ready" || this.status.phase === "failed") return;
    this.slow = setTimeout(() => {
      this.tell({ ...this.status, text: `Slow: ${this.status.text}` });
    }, SLOW_AFTER);
  }

  receive(data) {
    if (data.status?.phase === "ready") {
      this.warmUp();
    } else if (data.status) {
      this.tell(data.status);
      this.watch();
    } else if (data.to < 0) {
      this.warming -= 1;
      if (this.warming === 0) this.tell({ phase: "ready", text: "", fraction: 1 });
    } else {
      this.models[data.to]?.emit("msg:custom", JSON.parse(data.answer));
    }
  }

  /** Draw for nobody: what a lab imports is there, and its code is quick, when the reader comes. */
  warmUp() {
    const scenes = this.models.flatMap((model) => model.rehearsal());
    this.warming = scenes.length;
    for (const state of scenes) this.post({ to: -1, message: JSON.stringify(state) });
    if (!scenes.length) this.tell({ phase: "ready", text: "", fraction: 1 });
  }

  tell(status) {
    this.status = status;
    clearTimeout(this.slow);
    if (status.phase === "ready") {
      for (const request of this.waiting.splice(0)) this.post(request);
    }
    for (const model of this.models) model.emit("msg:custom", { kind: "status", ...status });
  }

  fail(text) {
    this.tell({ phase: "failed", text, fraction: 0 });
  }

  send(model, message) {
    if (message.kind === "retry") return this.retry();
    const request = { to: this.models.indexOf(model), message: JSON.stringify(message) };
    if (this.status.phase === "ready") this.post(request);
    else this.waiting.push(request);
  }

  post(request) {
    this.port.postMessage(request);
  }

  join(model) {
    this.models.push(model);
    if (this.status.phase !== "ready") return;
    for (const state of model.rehearsal()) this.post({ to: -1, message: JSON.stringify(state) });
  }
}

/** What anywidget hands to a front end, as far as lab.js uses it. */
class Model {
  constructor(engine, traits) {
    this.engine = engine;
    this.traits = traits;
    this.listeners = new Map();
    engine.join(this);
  }

  /** Requests for scenes like those that the reader's first gesture will ask for. */
  rehearsal() {
    const [lab, state] = [this.get("lab"), this.get("state")];
    return [0, 1, 2].map((more) => ({ id: null, kind: "scene", lab, state: { ...state, seed: state.seed + more } }));
  }

  get(name) {
    return name === "status" ? this.engine.status : this.traits[name];
  }

  set(name, value) {
    this.traits[name] = value;
  }

  save_changes() {}

  on(event, callback) {
    const known = this.listeners.get(event) ?? [];
    this.listeners.set(event, [...known, callback]);
  }

  off(event, callback) {
    const known = this.listeners.get(event) ?? [];
    this.listeners.set(event, callback ? known.filter((one) => one !== callback) : []);
  }

  send(message) {
    this.engine.send(this, message);
  }

  emit(event, ...payload) {
    for (const callback of this.listeners.get(event) ?? []) {
      try {
        callback(...payload);
      } catch (error) {
        console.error(`The lab ${this.get("lab")} failed:`, error); // the other labs go on
      }
    }
  }
}

const parsed = new Promise((resolve) => {
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", resolve);
  else resolve();
});

// Of many labs on a page the first starts at once, and one that a link asks for. The others start
// when they are one window's height away, so that the page's own start stays as light as with one.
async function bringToLife(engine) {
  const loaded = import("./lab.js");
  await parsed;
  const { default: front } = await loaded;
  const asleep = new Set(document.querySelectorAll("[data-ml-host]"));

  async function start(host) {
    if (!asleep.delete(host)) return;
    near.unobserve(host);
    const line = host.querySelector("[data-ml=status-text]");
    try {
      const traits = JSON.parse(host.querySelector("script[type='application/json']").textContent);
      await front.render({ model: new Model(engine, traits), el: host });
    } catch (error) {
      console.error("A lab failed:", error);
      if (line) line.textContent = `This lab could not be started: ${error.message}`;
    }
  }

  function startLinked() {
    const name = location.hash.slice(1).split("?")[0];
    for (const host of asleep) if (host.dataset.mlHost === name) start(host);
  }

  const near = new IntersectionObserver(
    (seen) => {
      for (const { isIntersecting, target } of seen) if (isIntersecting) start(target);
    },
    { rootMargin: "100% 0px" },
  );
  const [first] = asleep;
  if (first) start(first);
  startLinked();
  addEventListener("hashchange", startLinked);
  for (const host of asleep) near.observe(host);
}

// The classroom's deck, where the page is one.
parsed.then(async () => {
  const root = document.querySelector("[data-ml=deck]");
  if (!root) return;
  const { Deck } = await import("./deck.js");
  new Deck(root);
});

// Python starts before the page is read to its end: it takes the longest.
const { packages } = document.querySelector("script[data-packages]").dataset;
const engine = new Engine(packages.split(" ").filter(Boolean));
bringToLife(engine);
