// Goals: what the reader may bring about. What was met once is kept on this device.

export class Goals {
  constructor(root, name, goals, { change, signal }) {
    this.items = [...root.querySelectorAll("[data-ml=goal]")];
    this.count = root.querySelector("[data-ml=goals-met]");
    this.place = `mixedlab:goals:${name}`;
    this.met = new Set(this.recall());
    for (const item of this.items) {
      const { solution, text } = goals[item.dataset.goal];
      item.querySelector("[data-ml=solve]").addEventListener("click", () => change(solution, text), { signal });
    }
    this.show();
  }

  recall() {
    try {
      const kept = JSON.parse(localStorage.getItem(this.place) ?? "[]");
      return Array.isArray(kept) ? kept.filter((i) => i in this.items) : [];
    } catch {
      return []; // no storage here: what was met is forgotten with the page
    }
  }

  // `met` says for each goal whether the state on show meets it; it counts once all is revealed.
  take(met, revealed) {
    this.now = met;
    if (!revealed) return;
    const before = this.met.size;
    met.forEach((is, i) => is && this.met.add(i));
    if (this.met.size === before) return;
    try {
      localStorage.setItem(this.place, JSON.stringify([...this.met]));
    } catch {
      // see recall
    }
    this.show();
  }

  reveal() {
    this.take(this.now ?? [], true);
  }

  show() {
    for (const item of this.items) {
      const met = this.met.has(Number(item.dataset.goal));
      item.dataset.met = String(met);
      item.querySelector("[data-ml=goal-met]").textContent = met ? "Met." : "Not met yet.";
    }
    if (this.count) this.count.textContent = this.met.size;
  }
}
