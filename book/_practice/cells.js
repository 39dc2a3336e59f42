// All cells of a page: one Python, one namespace, run in their order.

import { Cell } from "./cell.js";
import { completionSource } from "./completion.js";
import { packagesOf, Stopped } from "./kernel.js";
import { CodeStore } from "./store.js";

export class Cells {
  constructor(kernel) {
    this.kernel = kernel;
    this.kept = new CodeStore();
    this.listeners = new Set(); // called with (cell, piece) for each piece of output
    this.running = null;
    this.complete = completionSource(kernel, this);
    const roots = [...document.querySelectorAll("[data-ml=code]")];
    this.all = roots.map((root, i) => new Cell(root, i + 1, this));
    kernel.heard.add(({ text }) => this.running?.say(text));
    kernel.ended = () => {
      for (const cell of this.all) cell.ran = null; // what was defined is gone
    };
  }

  get code() {
    return this.all.map((cell) => cell.code).join("\n");
  }

  get busy() {
    return this.running !== null;
  }

  /** Run a cell, and first those above that Python does not know as they now stand. */
  async run(cell) {
    if (this.busy) return;
    cell.openEditor();
    const above = this.all.slice(0, cell.number - 1).filter((one) => !one.isCurrent);
    if (!above.length) {
      await this.runOne(cell);
    } else {
      cell.show("waiting", "");
      const failed = await this.runAbove(cell, above);
      if (failed) cell.show(failed.root.dataset.state, `Not run: cell ${failed.number} above ${words(failed)}.`);
      else await this.runOne(cell, `Ran ${countOf(above)} above first.`);
    }
    this.kernel.prepare(packagesOf(this.code));
  }

  /** Run those of these cells that Python does not know; gives the first that fails, if any. */
  async runAbove(cell, cells) {
    for (const one of cells) {
      cell.say(`First cell ${one.number} above ...`);
      await this.runOne(one, cell === one ? "" : `Run for cell ${cell.number}.`);
      if (!one.isCurrent) return one;
    }
    return null;
  }

  async runOne(cell, note = "") {
    const { code } = cell;
    const started = performance.now();
    this.running = cell;
    cell.ran = null;
    cell.outputs.begin();
    cell.show("running", this.kernel.live ? "Running ..." : "Getting Python ready ...");
    try {
      const whole = await this.kernel.ask("run", [code, `cell ${cell.number}`], {
        packages: packagesOf(code),
        output: (piece) => {
          cell.outputs.add(piece);
          for (const heard of this.listeners) heard(cell, piece);
        },
      });
      cell.outputs.end();
      cell.ran = whole ? code : null;
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      const done = whole ? `Done in ${seconds} s.` : "Stopped at an error.";
      cell.show(whole ? "done" : "failed", `${note} ${done}`.trim());
    } catch (error) {
      const stopped = error instanceof Stopped;
      if (!stopped) cell.outputs.add({ kind: "error", says: error.message, trace: "" });
      const words = "Stopped. What cells had defined is gone; the next Run begins afresh.";
      cell.show(stopped ? "stopped" : "failed", stopped ? words : "Not run.");
    } finally {
      this.running = null;
    }
  }

  stop() {
    if (this.busy) this.kernel.stop();
  }
}

const countOf = (cells) => (cells.length === 1 ? "the cell" : `${cells.length} cells`);
const words = (cell) => (cell.root.dataset.state === "stopped" ? "was stopped" : "ended in an error");
