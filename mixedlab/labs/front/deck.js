// The classroom's deck: one lab a screen, arrow keys (or a presenter's page keys) for the next, the
// whole screen, and the votes of the class. The deck is made of what stands in the page: a lab and
// the words after it are one slide, and without scripts all slides are there.

const TYPES_INTO = "input, select, textarea, [role=slider], .ml-svg, [contenteditable]";

export class Deck {
  constructor(root) {
    this.root = root;
    this.slides = [];
    for (const child of root.querySelector("[data-ml=deck-slides]").children) {
      if (child.matches("[data-ml-host]")) this.slides.push([]);
      this.slides.at(-1)?.push(child);
    }
    const on = (name, action) => this.part(name).addEventListener("click", action);
    on("deck-back", () => this.go(this.at - 1));
    on("deck-next", () => this.go(this.at + 1));
    on("deck-votes", () => this.takeVotes(!this.votes));
    on("deck-full", () => this.toggleFull());
    root.addEventListener("ml-counted", () => this.closeVotes());
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("fullscreenchange", () => this.showFull());
    addEventListener("hashchange", () => this.follow());
    root.dataset.live = "true";
    this.part("deck-full").disabled = !document.fullscreenEnabled;
    this.at = 0;
    if (!this.follow()) this.go(0);
  }

  part(name) {
    return this.root.querySelector(`[data-ml="${name}"]`);
  }

  go(place) {
    this.at = Math.min(this.slides.length - 1, Math.max(0, place));
    this.slides.forEach((slide, i) => slide.forEach((el) => (el.hidden = i !== this.at)));
    const [host] = this.slides[this.at];
    const title = host.querySelector(".ml-title").textContent.replace(/^Lab\s+/, "");
    this.part("deck-place").textContent = `${this.at + 1} of ${this.slides.length}: ${title}`;
    this.part("deck-back").disabled = this.at === 0;
    this.part("deck-next").disabled = this.at === this.slides.length - 1;
    this.takeVotes(false);
  }

  // A link to a lab of the deck opens its slide.
  follow() {
    const name = location.hash.slice(1).split("?")[0];
    const place = this.slides.findIndex(([host]) => host.dataset.mlHost === name);
    if (name && place >= 0) this.go(place);
    return place >= 0;
  }

  get lab() {
    return this.slides[this.at][0].querySelector("[data-ml=lab]");
  }

  // The lab itself counts (votes.js): it hears that the vote is open.
  takeVotes(open) {
    this.votes = open;
    this.part("deck-votes").setAttribute("aria-pressed", String(open));
    for (const [host] of this.slides) delete host.querySelector("[data-ml=lab]").dataset.vote;
    if (open) this.lab.dataset.vote = "open";
    for (const [host] of this.slides) host.querySelector("[data-ml=lab]").dispatchEvent(new Event("ml-vote"));
  }

  closeVotes() {
    this.votes = false;
    this.part("deck-votes").setAttribute("aria-pressed", "false");
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target, key } = event;
    const inDeck = this.root.contains(target) || target === document.body;
    if (!inDeck || target.closest?.(TYPES_INTO)) return;
    const step = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 }[key];
    if (step) {
      event.preventDefault();
      this.go(this.at + step);
    } else if (this.votes && /^[1-9]$/.test(key)) {
      this.lab.querySelector(`[data-ml="option"][data-option="${key - 1}"]`)?.click();
    } else if (this.votes && key === "Backspace") {
      this.lab.dispatchEvent(new Event("ml-unvote"));
    }
  }

  toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.root.requestFullscreen();
  }

  showFull() {
    const full = document.fullscreenElement === this.root;
    this.part("deck-full").textContent = full ? "Leave" : "Full screen";
  }
}
