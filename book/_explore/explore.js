// The explorer's page: a table comes in, is checked and mended, becomes a lab, and what was found
// leaves. The table goes to this page's own worker and nowhere else: nothing here sends or stores.

import { Kernel } from "./kernel.js";
import front from "./lab.js";
import { showCheck } from "./explore-check.js";
import { Leave } from "./explore-leave.js";
import { setText } from "./text.js";

const MOST_BYTES = 150e6;
const WELLS = ["y", "x", "group"];

class Explorer {
  constructor(root) {
    this.root = root;
    this.kernel = new Kernel("explore-worker.js");
    this.kernel.heard.add(({ text, fraction }) => this.starting(text, fraction));
    this.leave = new Leave(this);
    this.turn = Promise.resolve();
    this.bind();
    this.begin();
  }

  part(name) {
    return this.root.querySelector(`[data-ml="${name}"]`);
  }

  all(name) {
    return [...this.root.querySelectorAll(`[data-ml="${name}"]`)];
  }

  on(name, event, action) {
    this.part(name).addEventListener(event, action);
  }

  // ---- Python

  /** Start Python, and take the table that the address names. */
  async begin() {
    this.part("retry").hidden = true;
    this.phase("download", "Getting Python ready ...");
    try {
      await this.ask("begin");
      this.live = true;
      if (!this.busy) this.phase("ready", "");
    } catch (error) {
      this.phase("failed", error.message);
      this.part("retry").hidden = false;
    }
  }

  starting(text, fraction) {
    if (!this.live) this.phase(fraction < 1 ? "download" : "start", text);
  }

  phase(phase, text) {
    this.root.dataset.phase = phase;
    setText(this.part("status-text"), text);
  }

  ask(does, ...given) {
    return this.kernel.ask(does, given);
  }

  // ---- a table comes in

  bind() {
    this.on("file", "change", ({ target }) => this.takeFile(target.files[0]));
    this.on("shipped", "change", ({ target }) => target.value && this.takeShipped(target.value));
    this.on("paste-done", "click", () => this.takeText(this.part("paste").value));
    this.on("retry", "click", () => this.begin());
    this.on("other", "click", () => this.showIntake());
    this.on("rename", "click", () => this.open("again", JSON.stringify({ renames: true })));
    this.on("unmend", "click", () => this.open("unmend"));
    for (const menu of this.all("reading")) {
      menu.addEventListener("change", () => {
        this.open("again", JSON.stringify({ [menu.dataset.setting]: menu.value }));
      });
    }
    this.on("choose", "submit", (event) => {
      event.preventDefault();
      const menus = [...this.part("choose-wells").querySelectorAll("select")];
      this.open("keep", JSON.stringify(menus.map((menu) => menu.value).filter(Boolean)));
    });
    this.bindDrop();
  }

  // A table may be dropped anywhere in the page: elsewhere the browser would leave for the file.
  bindDrop() {
    const hasFile = (event) => event.dataTransfer?.types.includes("Files");
    for (const name of ["dragenter", "dragover"]) {
      addEventListener(name, (event) => {
        if (!hasFile(event)) return;
        event.preventDefault();
        this.root.dataset.over = "true";
      });
    }
    addEventListener("dragleave", (event) => event.relatedTarget ?? delete this.root.dataset.over);
    addEventListener("drop", (event) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      delete this.root.dataset.over;
      this.takeFile(event.dataTransfer.files[0]);
    });
    addEventListener("paste", (event) => {
      if (event.target.closest?.("input, textarea, [contenteditable]")) return;
      const text = event.clipboardData?.getData("text/plain") ?? "";
      if (text.trim().includes("\n")) this.takeText(text);
    });
  }

  async takeFile(file) {
    if (!file) return;
    this.part("file").value = ""; // the same file may come again, changed
    if (file.size > MOST_BYTES) {
      this.refuse(`The file has ${Math.round(file.size / 1e6)} MB, and a page holds ${MOST_BYTES / 1e6}. Take ml.explore in Jupyter for it.`);
      return;
    }
    this.busy = true;
    this.phase("start", `Reading ${file.name} ...`);
    const bytes = new Uint8Array(await file.arrayBuffer());
    this.forgetLink();
    await this.open("open", bytes, file.name, "{}");
  }

  async takeText(text) {
    this.forgetLink();
    await this.open("open", text, "pasted.csv", "{}");
  }

  async takeShipped(name) {
    const url = new URL(location.href);
    if (url.searchParams.get("table") !== name) {
      url.search = `?table=${encodeURIComponent(name)}`;
      url.hash = this.opened ? "" : url.hash;
      history.replaceState(null, "", url);
    }
    await this.open("shipped", name);
  }

  // A link's settings are for the first table that comes; the address says nothing of a file.
  forgetLink() {
    const url = new URL(location.href);
    url.search = "";
    if (this.opened) url.hash = "";
    history.replaceState(null, "", url);
  }

  /** Have Python do something with the table, and show what it says. */
  open(does, ...given) {
    this.busy = true;
    this.phase(this.live ? "start" : this.root.dataset.phase, this.live ? "Reading the table ..." : "Getting Python ready ...");
    this.turn = this.turn.then(async () => {
      try {
        this.show(JSON.parse(await this.ask(does, ...given)));
      } catch (error) {
        this.refuse(error.message);
      } finally {
        this.busy = false;
        if (this.live) this.phase("ready", "");
      }
    });
    return this.turn;
  }

  // ---- what Python says of it

  show(told) {
    this.told = told;
    this.opened = true;
    this.closeLab();
    this.part("refused").hidden = !told.refused;
    setText(this.part("refused-text"), told.refused);
    this.part("rename").hidden = !told.renames;
    this.root.dataset.table = told.lab ? "ready" : "refused";
    showCheck(this, told);
    this.showChoice(told);
    this.part("intake").hidden = Boolean(told.lab);
    this.leave.clear();
    if (told.lab) this.openLab(told.lab);
  }

  refuse(words) {
    this.show({ name: "", refused: words });
  }

  showIntake() {
    this.part("intake").hidden = false;
    this.part("file").focus();
  }

  /** Of very many columns, the reader names those that she wants. */
  showChoice({ choose }) {
    this.part("choose").hidden = !choose;
    if (!choose) return;
    const menus = ["Outcome", "Predictor", "Group", "One more"].map((label) => {
      const menu = document.createElement("select");
      menu.add(new Option("(none)", ""));
      for (const name of choose) menu.add(new Option(name, name));
      const box = document.createElement("label");
      box.append(`${label} `, menu);
      return box;
    });
    this.part("choose-wells").replaceChildren(...menus);
  }

  // ---- the lab

  openLab(traits) {
    const host = this.part("lab-host");
    const listeners = new Set();
    const tell = (message) => listeners.forEach((listener) => listener(message));
    const model = {
      get: (name) => traits[name],
      set() {},
      save_changes() {},
      on: (event, callback) => event === "msg:custom" && listeners.add(callback),
      off: (event, callback) => listeners.delete(callback),
      send: async (message) => {
        const text = await this.ask("answer", JSON.stringify(message)).catch((error) =>
          JSON.stringify({ id: message.id, kind: "error", message: error.message }));
        if (traits === this.traits) tell(JSON.parse(text));
      },
    };
    this.traits = traits;
    host.replaceChildren();
    const drawn = ({ detail }) => this.drawn(detail.state);
    host.addEventListener("ml-drawn", drawn);
    const close = front.render({ model, el: host });
    this.closeLab = () => {
      host.removeEventListener("ml-drawn", drawn);
      close();
      host.replaceChildren();
      this.closeLab = () => {};
    };
    this.lab = host.querySelector("[data-ml=lab]");
    tell({ kind: "status", phase: "ready" });
    for (const well of WELLS) {
      const menu = host.querySelector(`[data-field="${well}"] select`);
      menu.dataset.ml = "well";
      menu.dataset.well = well;
    }
  }

  closeLab() {}

  drawn(state) {
    this.state = state;
    this.leave.show(state);
  }

  /** Set a field of the lab as its own control would. */
  set(field, value) {
    const control = this.lab?.querySelector(`[data-field="${field}"] select`);
    if (!control) return;
    control.value = value;
    control.dispatchEvent(new Event("change", { bubbles: true }));
  }
}

if (document.readyState === "loading") {
  await new Promise((resolve) => addEventListener("DOMContentLoaded", resolve));
}
const explorer = new Explorer(document.querySelector("[data-ml=explore]"));
const named = new URL(location.href).searchParams.get("table");
if ([...explorer.part("shipped").options].some(({ value }) => value && value === named)) {
  explorer.part("shipped").value = named;
  explorer.takeShipped(named);
}
