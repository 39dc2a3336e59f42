// What a cell puts out, shown as a notebook shows it. No text ever becomes HTML; see sanitise.js
// for what does.

import { sanitised } from "./sanitise.js";

const BASE64 = /^[A-Za-z0-9+/=\s]+$/;

/** Make an element with a class and text. */
export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export class Outputs {
  constructor(place) {
    this.place = place;
    this.built = [...place.childNodes];
    this.pieces = [];
    this.fresh = false;
  }

  /** The next piece takes the place of what stands there now. */
  begin() {
    this.pieces = [];
    this.fresh = true;
  }

  add(piece) {
    this.clear();
    this.pieces.push(piece);
    if (piece.kind === "text") this.addText(piece);
    else if (piece.kind === "error") this.addError(piece);
    else this.addData(piece.data);
  }

  /** Nothing more comes: of a cell without output nothing old may stay. */
  end() {
    this.clear();
  }

  /** Show again what was there when the book was built. */
  reset() {
    this.pieces = [];
    this.fresh = false;
    this.place.replaceChildren(...this.built);
  }

  clear() {
    if (!this.fresh) return;
    this.fresh = false;
    this.box = element("div", "cell_output docutils container");
    this.place.replaceChildren(this.box);
    this.stream = null;
  }

  block(kind) {
    this.stream = null;
    return this.box.appendChild(element("div", `output ${kind}`));
  }

  textBlock(kind, text) {
    const pre = element("pre", "", text);
    this.block(kind).appendChild(element("div", "highlight")).append(pre);
    return pre;
  }

  addText({ stream, text }) {
    if (this.stream?.name !== stream) {
      const pre = this.textBlock(stream === "stderr" ? "stderr" : "stream", "");
      this.stream = { name: stream, pre };
    }
    this.stream.pre.append(text);
  }

  addError({ says, trace }) {
    const box = this.block("mp-error");
    box.setAttribute("role", "alert");
    box.append(element("p", "", says));
    if (!trace) return;
    const fold = box.appendChild(element("details"));
    fold.append(element("summary", "", "Where it happened"), element("pre", "", trace));
  }

  addData(data) {
    const words = String(data["text/plain"] ?? "");
    if (BASE64.test(data["image/png"] ?? "")) {
      this.addPicture(`data:image/png;base64,${data["image/png"]}`, words, data.width);
    } else if (typeof data["image/svg+xml"] === "string") {
      this.addPicture(`data:image/svg+xml,${encodeURIComponent(data["image/svg+xml"])}`, words);
    } else if (typeof data["text/html"] === "string") {
      const block = this.block("text_html");
      block.append(sanitised(data["text/html"]));
      block.tabIndex = 0; // a wide table is scrolled by keyboard too
    } else {
      this.textBlock("text_plain", words);
    }
  }

  addPicture(source, words, width) {
    const picture = element("img");
    picture.alt = words;
    if (Number.isFinite(width)) picture.width = width;
    picture.src = source;
    this.block("image").append(picture);
  }
}
