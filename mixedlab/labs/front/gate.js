// The bet and the stages: what the reader said, what has been revealed, and the words about both.

import { Bet } from "./bet.js";
import { SKIPPED, STAGES } from "./link.js";
import { setText } from "./text.js";
import { Votes } from "./votes.js";

const REVEAL_MOVES_AFTER = 700; // ms between the reveal and the change of state that it brings

export class Gate {
  constructor(view) {
    this.view = view;
    this.root = view.root;
    this.description = view.description;
    this.stage = 0;
    this.answer = null;
    this.moving = false;
    this.bet = new Bet(view.description.bet, { ...view.host, moved: () => this.showWager() });
    this.votes = new Votes(view.root, this.bet, view.all("option"));
    const on = (name, action) => view.on(view.part(name), "click", action);
    for (const option of view.all("option")) {
      view.on(option, "click", () => this.predict(Number(option.dataset.option)));
    }
    on("bet-done", () => this.predict(this.bet.answer));
    on("skip", () => this.skip());
    on("again", () => this.again());
    on("truth", () => this.showStage(this.stage === 2 ? 1 : 2));
    view.on(view.root, "ml-vote", () => this.showVotes());
    view.on(view.root, "ml-unvote", () => {
      this.votes.takeBack();
      this.showVotes();
    });
  }

  get open() {
    return this.stage === 0;
  }

  // What came out, in the terms of the bet.
  get truth() {
    const { answer = null, answer_truth: later = null } = this.view.scene ?? {};
    return (this.stage === 2 ? later : null) ?? answer;
  }

  // How near the bet was, as long as the state is the one that it was about.
  get verdict() {
    if (!this.fresh || this.answer === SKIPPED || this.truth === null) return "";
    if (!this.bet.isClose(this.answer, this.truth)) return "Not quite: ";
    return this.bet.inPicture ? "Close: " : "As you said: ";
  }

  // The answer is kept as it is given. While a class votes, each is one of many.
  predict(answer) {
    if (this.votes.open) {
      this.votes.add(answer);
      this.showVotes();
      return;
    }
    this.answer = answer;
    this.fresh = true;
    this.showStage(1);
    this.view.goals.reveal();
    (this.view.part("truth") ?? this.view.part("again")).focus({ preventScroll: true });
    this.revealMoves();
  }

  // Closing the vote reveals; what the class said is the bet.
  skip() {
    const middle = this.votes.open ? this.votes.middle : null;
    const words = this.votes.words();
    delete this.root.dataset.vote;
    this.view.tell("ml-counted", { votes: this.votes.given });
    this.showVotes();
    this.predict(middle ?? SKIPPED);
    if (middle !== null) setText(this.view.part("said"), `The class: ${words}.`);
  }

  // The reveal may move the state, and one watches; who has moved it meanwhile is left alone.
  revealMoves() {
    const { reveal } = this.description;
    if (!Object.keys(reveal).length) return;
    const { lastChange } = this.view;
    this.moving = true; // samples of the state that it leaves would be lost
    this.view.showReplicateGate();
    setTimeout(() => {
      this.settle();
      if (this.stage !== 1 || this.view.lastChange !== lastChange) return;
      this.view.change(reveal, "reveal");
      this.fresh = true;
      this.view.slowly = true;
    }, REVEAL_MOVES_AFTER);
  }

  // The state is the reader's own again: it may be repeated.
  settle() {
    this.moving = false;
    this.view.showReplicateGate();
  }

  again() {
    this.answer = null;
    this.fresh = false;
    this.bet.start();
    this.votes.clear();
    this.showVotes();
    this.showStage(0);
    this.view.replicates?.clear();
    (this.view.part("option") ?? this.view.part("bet"))?.focus({ preventScroll: true });
  }

  // A link brings its bet, and what had been revealed.
  restore(answer, stage) {
    this.answer = answer;
    this.fresh = true;
    this.bet.set(answer);
    this.showStage(stage);
  }

  showStage(stage) {
    const rises = stage > this.stage;
    this.stage = stage;
    this.show();
    if (!this.view.scene) return;
    this.view.showWords();
    for (const { plot } of this.view.plots.values()) {
      if (rises) plot?.reveal(STAGES[stage]);
      else plot?.draw(false);
    }
  }

  show() {
    const { part, all } = { part: (name) => this.view.part(name), all: (name) => this.view.all(name) };
    this.root.dataset.stage = STAGES[this.stage];
    for (const option of all("option")) {
      option.setAttribute("aria-pressed", String(Number(option.dataset.option) === this.answer));
      option.disabled = !this.open;
    }
    for (const name of ["skip", "bet-done"]) if (part(name)) part(name).disabled = !this.open;
    part("again").disabled = this.open;
    const truth = part("truth");
    if (truth) {
      truth.disabled = this.open;
      truth.setAttribute("aria-pressed", String(this.stage === 2));
      const { truth: label } = this.description;
      setText(truth, this.stage === 2 ? label.replace(/^Show/, "Hide") : label);
    }
    const made = this.answer !== null && this.answer !== SKIPPED;
    setText(part("said"), made ? this.bet.words(this.answer) : "");
    this.view.showReplicateGate();
  }

  showVotes() {
    const { open } = this.votes;
    setText(this.view.part("skip"), open ? "Close the vote" : "Show without a bet");
    setText(this.view.part("bet-done"), open ? "Add a vote" : "That is my bet");
    this.votes.show();
    this.showWager();
    this.view.plots.get(this.description.bet.panel)?.plot?.draw(false);
  }

  showWager() {
    const place = this.view.part("wager");
    const votes = this.votes.open ? ` · ${this.votes.words()}` : "";
    if (place && this.open) setText(place, this.bet.wager() + votes);
  }

  // The bet's ghost on its panel, and after the bet the way to what came out.
  draw(panel, plot) {
    if (panel !== this.description.bet.panel || !this.view.scene) return;
    this.bet.draw(plot, { open: this.open, answer: this.answer, truth: this.truth });
    this.votes.draw(plot, plot.over);
  }
}
