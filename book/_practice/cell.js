// One cell of code: its text, its buttons, its output. Until the reader touches it, the code
// stands as the book printed it; then the editor takes its place.

import { Outputs } from "./outputs.js";

export class Cell {
  /** `host` gives run(cell), stop(), completion source, and where edited code is kept. */
  constructor(root, number, host) {
    this.root = root;
    this.number = number;
    this.host = host;
    this.outputs = new Outputs(this.part("output"));
    this.printed = root.querySelector(".cell_input pre");
    this.built = this.printed.textContent.replace(/\n$/, "");
    this.editor = null;
    this.ran = null; // the code that Python knows
    this.makePrintedEditable();
    this.part("run").addEventListener("click", () => host.run(this));
    this.part("stop").addEventListener("click", () => host.stop(this));
    this.part("reset").addEventListener("click", () => this.reset());
    const kept = host.kept.get(this.built);
    if (kept !== null) this.code = kept;
  }

  part(name) {
    return this.root.querySelector(`[data-ml="${name}"]`);
  }

  get code() {
    return this.editor ? this.editor.text : this.text;
  }

  set code(text) {
    if (this.editor) {
      this.editor.text = text;
    } else {
      this.printed.textContent = text;
      this.changed(text);
    }
  }

  get isCurrent() {
    return this.ran === this.code;
  }

  // ---------------------------------------------------------------- the text

  /** The printed code takes focus and text like the editor, which comes at the first touch. */
  makePrintedEditable() {
    const { printed } = this;
    this.text = this.built;
    printed.classList.add("cm-content");
    printed.contentEditable = "true";
    printed.spellcheck = false;
    const attributes = {
      role: "textbox", "aria-multiline": "true", "aria-label": this.label, autocapitalize: "off",
    };
    for (const [name, value] of Object.entries(attributes)) printed.setAttribute(name, value);
    printed.addEventListener("focus", () => this.openEditor());
    printed.addEventListener("input", () => this.changed(printed.innerText.replace(/\n$/, "")));
    printed.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.leave();
      if (event.key !== "Enter" || !event.shiftKey) return;
      event.preventDefault();
      this.host.run(this);
    });
    this.part("reset").disabled = true;
  }

  get label() {
    return `Code of cell ${this.number}. Shift-Enter runs it, Escape leaves it.`;
  }

  async openEditor() {
    if (this.opening) return;
    this.opening = true;
    const { openEditor } = await import("./editor.js").catch(() => ({}));
    if (!openEditor) {
      this.opening = false; // the printed code still takes text
      return;
    }
    const focused = document.activeElement === this.printed;
    const selection = focused ? offsets(this.printed) : undefined;
    const wrapper = this.printed.closest(".cell_input > *");
    this.editor = openEditor(wrapper, {
      text: this.text,
      label: this.label,
      selection: selection?.map((at) => Math.min(at, this.text.length)),
      run: () => this.host.run(this),
      leave: () => this.leave(),
      changed: (text) => this.changed(text),
      complete: this.host.complete,
    });
    if (focused) this.editor.focus();
  }

  leave() {
    this.part("run").focus();
  }

  changed(text) {
    this.text = text;
    const edited = text !== this.built;
    this.host.kept.set(this.built, edited ? text : null);
    this.part("reset").disabled = !edited && this.ran === null;
  }

  reset() {
    this.code = this.built;
    this.ran = null;
    this.outputs.reset();
    this.show("built", "");
    this.part("run").focus();
    this.part("reset").disabled = true;
  }

  // ---------------------------------------------------------------- running

  /** Show where the cell stands: built, waiting, running, done, failed or stopped. */
  show(state, words) {
    const running = state === "running" || state === "waiting";
    this.root.dataset.state = state;
    this.part("run").setAttribute("aria-disabled", String(running));
    if (!running && document.activeElement === this.part("stop")) this.part("run").focus();
    this.part("stop").disabled = !running;
    this.part("reset").disabled = running || (this.ran === null && this.text === this.built);
    this.say(words);
  }

  say(words) {
    const place = this.part("run-status");
    if (place.textContent !== words) place.textContent = words;
  }
}

/** Where the selection begins and ends, as places in the element's text. */
function offsets(root) {
  const selection = getSelection();
  const place = (node, offset) => {
    if (!node || !root.contains(node)) return 0;
    const range = document.createRange();
    range.setStart(root, 0);
    range.setEnd(node, offset);
    return range.toString().length;
  };
  return [
    place(selection.anchorNode, selection.anchorOffset),
    place(selection.focusNode, selection.focusOffset),
  ];
}
