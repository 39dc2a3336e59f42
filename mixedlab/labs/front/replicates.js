// +1, +50, +500: fresh samples of the same study, collected into a sampling distribution.

import { still } from "./motion.js";

const CHUNK_MS = 100; // they come in pieces of about this length, so that they can be stopped
const MOST_AT_ONCE = 250;

export class Replicates {
  // `ask(start, count, values)` asks Python for more, `drop()` forgets what was asked for,
  // `makePlot(figure, title)` draws into the panel that the lab's HTML keeps for it,
  // `showSample(sample)` shows a single new sample, and `leave(statistic)` says where on the screen
  // its estimate stands then.
  constructor(part, statistics, { ask, drop, makePlot, showSample, leave }) {
    Object.assign(this, { part, statistics, ask, drop, makePlot, showSample, leave });
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
    this.asked = true;
    this.open(true);
    this.part("stop").disabled = false;
    this.next();
  }

  open(is) {
    const figure = this.part("replicate-panel");
    figure.hidden = !is;
    figure.closest(".ml-lab").toggleAttribute("data-repeats", is);
  }

  next() {
    this.askedAt = performance.now();
    this.ask(this.done, Math.min(this.chunk, this.goal - this.done), this.values, this.goal - this.first === 1);
  }

  receive({ values, panel, summary, sample }, state) {
    const before = this.done;
    this.values = values;
    this.done = Math.max(...Object.values(values).map((v) => v.length));
    this.summary = summary;
    this.adapt();
    if (sample) this.showSample(sample);
    this.show(panel, state);
    if (sample) this.lift(values);
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
    this.plot ??= this.makePlot(figure, panel.title);
    this.plot.entitle(panel.title);
    this.plot.show(panel, state);
    this.showProgress();
    if (this.asked) this.bringIntoView(figure);
    this.asked = false;
  }

  // On a phone the hero sticks to the top: the histograms come into view below it.
  bringIntoView(figure) {
    const hero = figure.closest(".ml-lab").querySelector("[data-hero]");
    const { position, top } = getComputedStyle(hero);
    if (position !== "sticky") return;
    figure.style.scrollMarginBlockStart = `${parseFloat(top) + hero.offsetHeight}px`;
    figure.scrollIntoView({ block: "nearest" });
  }

  // A single estimate is lifted out of its sample and drops into its row.
  lift(values) {
    if (still.matches) return;
    this.statistics.forEach(({ name, color }, i) => {
      const value = values[name].at(-1);
      const from = this.leave(this.statistics[i]);
      if (value === null || !from) return;
      const box = this.plot.svg.getBoundingClientRect();
      const floor = this.statistics.length - 1 - i;
      const to = [box.left + this.plot.x(value), box.top + this.plot.y(floor + 0.2)];
      fly(this.plot.box.closest(".ml-lab"), from, to, color);
    });
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
    if (this.part("replicate-panel").hidden) return;
    this.forget();
    this.stop();
    this.open(false);
  }

  close() {
    this.plot?.close();
  }
}

function fly(root, from, to, color) {
  const dot = document.createElement("span");
  dot.className = `ml-flyer ml-c-${color}`;
  root.append(dot);
  const at = ([x, y], size) => ({ transform: `translate(${x}px, ${y}px) scale(${size})` });
  const rise = [(from[0] + to[0]) / 2, Math.min(from[1], to[1]) - 40];
  const path = [at(from, 1), at([from[0], from[1] - 18], 1.6), at(rise, 1.3), at(to, 0.7)];
  dot.animate(path, { duration: 900, easing: "ease-in-out" }).finished.then(() => dot.remove(), () => dot.remove());
}
