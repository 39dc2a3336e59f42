// The state as a link, as text and as QR code, for a class to take along.

import { readLink, writeLink } from "./link.js";
import { qrPath } from "./qr.js";
import { element } from "./svg.js";
import { setText } from "./text.js";

export class Share {
  constructor(view) {
    this.view = view;
    this.description = view.description;
    if (this.description.share !== "link") setText(view.part("share-text"), "Copy as Python");
    view.on(view.part("share"), "click", () => this.copy());
    view.on(view.part("menu"), "toggle", () => this.show());
    if (this.description.share === "link") view.on(window, "hashchange", () => this.follow());
  }

  link(state = this.view.wanted) {
    const { answer, stage } = this.view.gate;
    return writeLink(this.description, state, answer, stage);
  }

  // True where the page's address holds a state of this lab.
  follow() {
    const link = readLink(this.description, location.hash);
    if (!link) return false;
    const { view } = this;
    if (link.answer !== null) view.gate.restore(link.answer, link.stage);
    if (view.live) view.past.push(view.wanted);
    view.replicates?.clear();
    view.requests.askScene(link.state);
    view.root.scrollIntoView({ block: "start" });
    return true;
  }

  show() {
    if (!this.view.part("menu").open || this.description.share !== "link") return;
    const link = this.link();
    setText(this.view.part("link-text"), link);
    const box = this.view.part("qr");
    box.replaceChildren();
    try {
      const { size, d } = qrPath(link);
      const svg = element("svg", "", box);
      svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", "QR code of the link to this state");
      element("path", "", svg).setAttribute("d", d);
    } catch {
      // Too long for a code: the text is there.
    }
  }

  async copy() {
    const text = this.link();
    const copied = await toClipboard(text);
    const { root } = this.view;
    root.dataset.shared = copied ? "yes" : "no";
    if (!copied) window.prompt("Copy this:", text);
    setTimeout(() => delete root.dataset.shared, 2000);
  }
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
