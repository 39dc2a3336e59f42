// The votes of a class, before the reveal: each press of an option is one vote, each "Add a vote" is
// one place of the handle. Closing the vote reveals; what most said, or their middle, is the bet.

import { element } from "./svg.js";

export class Votes {
  constructor(root, bet, options) {
    this.root = root;
    this.bet = bet;
    this.options = options;
    this.given = [];
    this.places = options.map((option) => {
      const count = document.createElement("b");
      count.className = "ml-votes";
      count.dataset.ml = "tally";
      option.append(count);
      return count;
    });
  }

  get open() {
    return this.root.dataset.vote === "open";
  }

  add(answer) {
    this.given.push(answer);
  }

  takeBack() {
    this.given.pop();
  }

  clear() {
    this.given = [];
  }

  count(i) {
    return this.given.filter((answer) => answer === i).length;
  }

  show() {
    this.places.forEach((place, i) => {
      const votes = this.count(i);
      place.textContent = votes || "";
      place.style.setProperty("--ml-share", this.given.length ? votes / this.given.length : 0);
    });
  }

  // The bet of the class; null where nobody voted.
  get middle() {
    if (!this.given.length) return null;
    if (!this.bet.inPicture) {
      const counts = this.options.map((_, i) => this.count(i));
      return counts.indexOf(Math.max(...counts));
    }
    const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
    const rows = this.given.map((answer) => [answer].flat());
    const middle = rows[0].map((_, i) => median(rows.map((row) => row[i])));
    return middle.length > 1 ? middle : middle[0];
  }

  words() {
    const n = this.given.length;
    const votes = `${n} ${n === 1 ? "vote" : "votes"}`;
    if (this.bet.inPicture) return n ? `${votes}, the middle at ${[this.middle].flat().map((v) => this.bet.say(v)).join(", ")}` : votes;
    return `${votes}: ${this.options.map((_, i) => this.count(i)).join(", ")}`;
  }

  // Each vote of a place as a short stroke on the axis.
  draw(plot, layer) {
    for (const answer of this.given) {
      [answer].flat().forEach((value, i) => {
        const [x, y] = this.bet.gripOf(plot, value, i);
        const across = this.bet.bet.kind !== "curve" && this.bet.bet.axis === "x";
        const stroke = across ? `M${x} ${plot.edges.bottom}v-14` : `M${x - 7} ${y}h14`;
        element("path", "ml-vote ml-c-yours", layer).setAttribute("d", stroke);
      });
    }
  }
}
