// +1, +50, +500: fresh samples of the same study, collected into a sampling distribution.

const CHUNK_MS = 100; // they come in pieces of about this length, so that they can be stopped
const MOST_AT_ONCE = 250;

export class Replicates {
  // `ask(start, count, values)` asks Python for more, `drop()` forgets what was asked for, and
  // `makePlot(figure, title)` draws into the panel that the lab's HTML keeps for it.
  constructor(part, { ask, drop, makePlot }) {
    Object.assign(this, { part, ask, drop, makePlot });
    this.chunk = 1;
    this.way = Infinity;
    this.forget();
  }

  forget() {
    this.values = {};
    this.done = this.goal = this.first = 0;
  }

  run(count) {
    this.goal = this.done + count;
    this.first = this.done;
    this.part("stop").disabled = false;
    this.next();
  }

  next() {
    this.askedAt = performance.now();
    this.ask(this.done, Math.min(this.chunk, this.goal - this.done), this.values);
  }

  receive({ values, panel, summary }, state) {
    const before = this.done;
    this.values = values;
    this.done = Math.max(...Object.values(values).map((v) => v.length));
    this.summary = summary;
    this.adapt();
    this.show(panel, state);
    const atTheMost = this.done === before;
    if (this.done < this.goal && !atTheMost) this.next();
    else this.stop();
  }

  // What the quickest answer took is the way there and back; the rest is work.
  adapt() {
    const took = performance.now() - this.askedAt;
    this.way = Math.min(this.way, took);
    if (took - this.way < CHUNK_MS) this.chunk = Math.min(MOST_AT_ONCE, 2 * this.chunk);
    else if (took - this.way > 3 * CHUNK_MS) this.chunk = Math.max(1, this.chunk >> 1);
  }

  show(panel, state) {
    const figure = this.part("replicate-panel");
    figure.hidden = false;
    this.plot ??= this.makePlot(figure, panel.title);
    this.plot.entitle(panel.title);
    this.plot.show(panel, state);
    this.showProgress();
  }

  showProgress() {
    const { done, goal, first } = this;
    this.part("progress").value = goal > done ? (done - first) / (goal - first) : Number(done > 0);
    this.part("count").textContent = done || "";
    this.part("clear").disabled = done === 0;
  }

  stop() {
    this.goal = this.done;
    this.drop();
    const stop = this.part("stop");
    if (document.activeElement === stop) this.part("replicate").focus({ preventScroll: true });
    stop.disabled = true;
    this.showProgress();
    this.part("replicate-summary").textContent = this.done ? this.summary : "";
  }

  // Other values of the controls are another study: its samples start anew.
  clear() {
    this.forget();
    this.stop();
    this.part("replicate-panel").hidden = true;
  }

  close() {
    this.plot?.close();
  }
}
