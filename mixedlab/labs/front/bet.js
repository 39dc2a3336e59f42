// The bet: a choice, or a ghost handle on an axis (a place, a curve's points), which stays where the
// reader left it; then the gap to what came out is drawn. It is never graded.

import { decimals, numeral, snap, STEPS } from "./scale.js";
import { element } from "./svg.js";

const GRIP = 11; // px

export class Bet {
  // `host`: stateNow(), change(patch, source), onHold(held), moved() after each move of a handle.
  constructor(bet, host) {
    this.bet = bet;
    this.host = host;
    this.frozen = false;
    this.start();
  }

  get inPicture() {
    return this.bet.kind !== "choice";
  }

  // Before a bet the handles stand where they say nothing.
  start() {
    this.values = this.inPicture ? [this.bet.start].flat() : [];
    this.touched = false;
  }

  // A bet as it was made: a number, several, or an option. Null where none was made.
  set(answer) {
    if (this.inPicture && typeof answer !== "string" && answer !== null) this.values = [answer].flat().map((v) => snap(v, this.bet));
  }

  get answer() {
    if (this.bet.field) return this.host.stateNow()[this.bet.field];
    return this.bet.kind === "curve" ? [...this.values] : this.values[0];
  }

  say(value) {
    return numeral(value, decimals(this.bet.step)) + (this.bet.unit ?? "");
  }

  // What the reader is told of her bet, in words.
  words(answer) {
    if (!this.inPicture) return `You said: ${this.bet.options[answer].replace(/\.$/, "")}.`;
    return `Your bet, ${this.bet.label}: ${[answer].flat().map((v) => this.say(v)).join(", ")}.`;
  }

  wager() {
    if (this.bet.kind === "curve") return `${this.bet.label}: drag the points`;
    const values = this.bet.field ? [this.host.stateNow()[this.bet.field]] : this.values;
    return `${this.bet.label}: ${values.map((v) => this.say(v)).join(", ")}`;
  }

  // Whether the answer that came out is near to the bet.
  isClose(answer, truth) {
    if (!this.inPicture) return answer === truth;
    const bets = [answer].flat();
    return [truth].flat().every((v, i) => Math.abs(v - bets[i]) <= this.bet.near);
  }

  // ---- drawing: called after each draw of the panel that the bet is on

  draw(plot, { open, answer, truth }) {
    this.plot = plot;
    const { bet } = this;
    plot.over.replaceChildren(...(open && !bet.field ? this.ghosts(plot) : []));
    if (open || answer === null || typeof answer !== typeof bet.start) return;
    this.drawGap(plot, [answer].flat(), truth === null || truth === undefined ? null : [truth].flat());
  }

  // The handles are kept, so that none loses the focus or the pointer that holds it.
  ghosts(plot) {
    this.handles ??= this.values.map((_, i) => this.makeHandle(i));
    this.line ??= element("path", "ml-ghostline ml-c-yours");
    this.line.setAttribute("d", this.path(plot, this.values));
    this.handles.forEach((handle, i) => this.placeHandle(plot, handle, i));
    return [this.line, ...this.handles];
  }

  path(plot, values) {
    const { left, right, top, bottom } = plot.edges;
    if (this.bet.kind === "curve") {
      return "M" + values.map((v, i) => `${plot.x(this.bet.at[i])} ${plot.y(v)}`).join("L");
    }
    if (this.bet.axis === "x") return `M${plot.x(values[0])} ${top}V${bottom}`;
    return `M${left} ${plot.y(values[0])}H${right}`;
  }

  gripOf(plot, value, i) {
    const { right, top } = plot.edges;
    if (this.bet.kind === "curve") return [plot.x(this.bet.at[i]), plot.y(value)];
    const { across } = this.bet;
    if (this.bet.axis === "x") return [plot.x(value), across == null ? top + GRIP : plot.y(across)];
    return [across == null ? right - GRIP : plot.x(across), plot.y(value)];
  }

  makeHandle(i) {
    const handle = element("g", "ml-bet ml-c-yours");
    const grip = element("circle", "ml-grip", handle);
    grip.setAttribute("r", GRIP);
    element("circle", "ml-reach", handle).setAttribute("r", 24);
    handle.dataset.ml = "bet";
    handle.setAttribute("role", "slider");
    handle.setAttribute("tabindex", "0");
    handle.setAttribute("aria-valuemin", this.bet.low);
    handle.setAttribute("aria-valuemax", this.bet.high);
    handle.setAttribute("aria-orientation", this.bet.axis === "x" ? "horizontal" : "vertical");
    handle.addEventListener("pointerdown", (event) => this.grab(event, handle));
    handle.addEventListener("pointermove", (event) => handle.held && this.drag(event, i));
    for (const end of ["pointerup", "pointercancel"]) {
      handle.addEventListener(end, () => {
        handle.held = false;
        this.host.onHold(false);
      });
    }
    handle.addEventListener("keydown", (event) => this.key(event, i));
    return handle;
  }

  placeHandle(plot, handle, i) {
    const [x, y] = this.gripOf(plot, this.values[i], i);
    handle.setAttribute("transform", `translate(${x} ${y})`);
    const place = this.bet.kind === "curve" ? ` at ${this.bet.at[i]}` : "";
    handle.setAttribute("aria-label", `Your bet: ${this.bet.label}${place}`);
    handle.setAttribute("aria-valuenow", this.values[i]);
    handle.setAttribute("aria-valuetext", this.say(this.values[i]));
  }

  grab(event, handle) {
    if (event.button > 0) return;
    event.preventDefault();
    event.stopPropagation();
    handle.focus({ preventScroll: true });
    handle.setPointerCapture(event.pointerId);
    handle.held = true;
    this.host.onHold(true);
  }

  drag(event, i) {
    const box = this.plot.svg.getBoundingClientRect();
    const along = this.bet.kind !== "curve" && this.bet.axis === "x";
    const value = along ? this.plot.x.invert(event.clientX - box.left) : this.plot.y.invert(event.clientY - box.top);
    this.move(i, value);
  }

  key(event, i) {
    const { low, high, step } = this.bet;
    const goal = event.key in STEPS ? this.values[i] + STEPS[event.key] * step : { Home: low, End: high }[event.key];
    if (goal === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.move(i, goal);
  }

  move(i, value) {
    this.values[i] = snap(value, this.bet);
    this.touched = true;
    this.ghosts(this.plot);
    this.host.moved();
  }

  // What was bet stays as a dashed line; an arrow shows how far it is to what came out.
  drawGap(plot, bets, truths) {
    element("path", "ml-ghostline ml-frozen ml-c-yours", plot.over).setAttribute("d", this.path(plot, bets));
    const [x, y] = this.gripOf(plot, bets.at(-1), bets.length - 1);
    const words = element("text", "ml-text ml-c-yours", plot.over);
    words.textContent = "your bet";
    const { left, right, top } = plot.edges;
    const across = this.bet.kind !== "curve" && this.bet.axis === "x";
    const end = x > (left + right) / 2;
    words.setAttribute("class", `ml-text ml-c-yours ml-${across && !end ? "start" : "end"}`);
    words.setAttribute("x", across ? x + (end ? -5 : 5) : Math.min(x + 4, right));
    words.setAttribute("y", across ? top + 0.9 * plot.font : y - 6);
    if (!truths) return;
    bets.forEach((bet, i) => {
      const [from, to] = [this.gripOf(plot, bet, i), this.gripOf(plot, truths[i], i)];
      if (across) [from[1], to[1]] = [top + 1.6 * plot.font, top + 1.6 * plot.font];
      element("path", "ml-betgap ml-c-yours", plot.over).setAttribute("d", `M${from.join(" ")}L${to.join(" ")}`);
    });
  }
}
