// One panel, drawn as SVG at its real size in pixels, so that text is never scaled.
//
// Marks are kept by key from one scene to the next: what is still there moves, what is new fades
// in, what is gone is taken away. What can be dragged has a handle of its own on top of all marks,
// at least 32 px wide, which is also a slider for the keyboard.

import { drawAxes } from "./axes.js";
import { KINDS, numbersOf } from "./marks.js";
import { snap } from "./scale.js";
import { element } from "./svg.js";

const MOVE_MS = 220;
const HANDLE_PX = 16;

const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Plot {
  // `box` is emptied; `onDrag(patch, source)` is told what a drag wants of the state, and
  // `controlOf(field)` returns the control behind a field.
  constructor(box, { label, onDrag, controlOf }) {
    this.box = box;
    this.onDrag = onDrag;
    this.controlOf = controlOf;
    this.marks = new Map();
    this.svg = element("svg", "ml-svg");
    this.svg.setAttribute("role", "group");
    this.svg.setAttribute("tabindex", "0");
    this.caption = box.parentNode.querySelector("[data-ml=panel-title]");
    this.entitle(label);
    this.axes = element("g", "ml-axes", this.svg);
    this.axes.setAttribute("aria-hidden", "true");
    this.body = element("g", "ml-body", this.svg);
    this.handles = element("g", "ml-handles", this.svg);
    this.tip = document.createElement("div");
    this.tip.className = "ml-tip";
    this.tip.setAttribute("role", "status");
    this.tip.hidden = true;
    box.replaceChildren(this.svg, this.tip);
    this.listen();
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(box);
  }

  entitle(title) {
    if (this.title === title) return;
    this.title = title;
    this.caption.textContent = title;
    this.svg.setAttribute("aria-label", `${title}. Arrow keys read the marks one by one.`);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.box;
    if (!width || !height || (width === this.width && height === this.height)) return;
    [this.width, this.height] = [width, height];
    this.font = parseFloat(getComputedStyle(this.svg).fontSize);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    if (this.panel) this.draw(false);
  }

  show(panel, state, { move = true } = {}) {
    this.panel = panel;
    this.state = state;
    if (!this.width) this.resize();
    else this.draw(move);
  }

  draw(move) {
    this.layOut();
    const drawn = this.panel.marks.flatMap((mark) => [mark, numbersOf(mark)].filter(Boolean));
    for (const mark of drawn) this.drawMark(mark);
    const keys = drawn.map((mark) => mark.key);
    for (const [key, group] of this.marks) {
      if (keys.includes(key)) continue;
      for (const item of group.items.values()) item.handle?.remove();
      group.el.remove();
      this.marks.delete(key);
    }
    this.order(keys);
    this.hideTip(false);
    this.animate(move && !still.matches);
  }

  // Marks lie over one another in the scene's order. Moving an element costs, so only if need be.
  order(keys) {
    keys.forEach((key, place) => {
      const { el } = this.marks.get(key);
      if (this.body.children[place] !== el) this.body.insertBefore(el, this.body.children[place]);
    });
  }

  // ---- axes

  layOut() {
    const { x, y } = this.panel;
    const { width, height, font } = this;
    const key = JSON.stringify([x, y, width, height]);
    if (key === this.axesKey) return;
    this.axesKey = key;
    Object.assign(this, drawAxes(this.axes, this.panel, { width, height, font }));
  }

  // ---- marks

  drawMark(mark) {
    const kind = KINDS[mark.kind];
    let group = this.marks.get(mark.key);
    if (!group || group.kind !== mark.kind) {
      group?.el.remove();
      group = { kind: mark.kind, el: element("g", "", this.body), items: new Map() };
      group.el.dataset.mark = mark.key;
      this.marks.set(mark.key, group);
    }
    group.mark = mark;
    this.dress(group, kind);
    const unit = this.font / 13;
    const className = kind.className(mark);
    const left = new Set(group.items.keys());
    for (let i = 0; i < kind.count(mark); i++) {
      const key = mark.keys?.[i] ?? String(i);
      left.delete(key);
      let item = group.items.get(key);
      const goal = kind.geometry(mark, i, this.x, this.y, unit);
      if (!item) {
        item = { el: element(kind.tag ?? "path", "", group.el), key };
        item.el.dataset.item = key;
        group.items.set(key, item);
      }
      if (item.className !== className) item.el.setAttribute("class", className);
      item.className = className;
      item.fresh = item.now?.length !== goal.length;
      item.from = item.fresh ? goal : item.now;
      item.goal = goal;
      item.index = i;
      item.moved = item.fresh || kind.repaint || goal.some((v, k) => Math.abs(v - item.from[k]) > 0.05);
      this.drawHandle(mark, item, mark.drag?.[i]);
    }
    for (const key of left) {
      group.items.get(key).handle?.remove();
      group.items.get(key).el.remove();
      group.items.delete(key);
    }
  }

  dress(group, kind) {
    const { mark, el } = group;
    const look = [mark.stage, mark.color, mark.opacity, kind.width?.(mark)].join();
    if (look === group.look) return;
    group.look = look;
    el.setAttribute("class", `ml-mark ml-stage-${mark.stage} ml-c-${mark.color}`);
    if (mark.kind === "bands") el.style.setProperty("--ml-opacity", mark.opacity);
    else el.style.opacity = mark.opacity;
    if (kind.width) el.style.strokeWidth = `${kind.width(mark)}px`;
  }

  drawHandle(mark, item, drag) {
    if (!drag) {
      item.handle?.remove();
      item.handle = null;
      return;
    }
    if (!item.handle) {
      const round = mark.kind !== "lines";
      item.handle = element(round ? "circle" : "path", "", this.handles);
      item.handle.setAttribute("role", "slider");
      item.handle.setAttribute("tabindex", "0");
      item.handle.dataset.handle = `${mark.key}/${item.key}`;
      item.handle.dataset.of = mark.key;
      item.handle.dataset.key = item.key;
    }
    item.drag = drag;
    item.handle.setAttribute("class", `ml-handle ml-stage-${mark.stage} ml-c-${mark.color}`);
    item.handle.setAttribute("aria-label", drag.label);
    const fields = [drag.x, drag.y].filter(Boolean);
    const control = this.controlOf(fields[0]);
    if (!control) return;
    item.handle.setAttribute("aria-valuemin", control.low);
    item.handle.setAttribute("aria-valuemax", control.high);
    item.handle.setAttribute("aria-valuenow", this.state[fields[0]]);
    item.handle.setAttribute("aria-orientation", drag.x ? "horizontal" : "vertical");
    const words = fields.map((f) => `${this.controlOf(f)?.label ?? f} ${this.state[f]}`);
    item.handle.setAttribute("aria-valuetext", words.join(", "));
  }

  // ---- movement: one clock for the panel

  animate(move) {
    cancelAnimationFrame(this.frame);
    if (!move) {
      this.paint(1);
      return;
    }
    const start = performance.now();
    const step = (time) => {
      const t = Math.min(1, Math.max(0, (time - start) / MOVE_MS));
      this.paint(1 - (1 - t) ** 3);
      if (t < 1) this.frame = requestAnimationFrame(step);
    };
    step(start + 16);
  }

  paint(t) {
    for (const group of this.marks.values()) {
      const kind = KINDS[group.kind];
      for (const item of group.items.values()) {
        if (!item.moved) continue;
        const { from, goal } = item;
        item.now = t === 1 ? goal : goal.map((end, k) => from[k] + (end - from[k]) * t);
        if (t === 1) item.moved = false;
        kind.paint(item.el, item.now, group.mark, item.index);
        if (item.handle) this.placeHandle(item);
      }
    }
  }

  placeHandle({ handle, now, el }) {
    if (handle.tagName === "path") {
      handle.setAttribute("d", el.getAttribute("d"));
    } else {
      handle.setAttribute("cx", now[0]);
      handle.setAttribute("cy", now[1]);
      handle.setAttribute("r", Math.max(HANDLE_PX, (now[2] ?? 0) + 6));
    }
  }

  // ---- dragging and reading

  listen() {
    const { svg } = this;
    svg.addEventListener("pointerdown", (event) => this.grab(event));
    svg.addEventListener("pointermove", (event) => this.pointerMoved(event));
    for (const end of ["pointerup", "pointercancel"]) {
      svg.addEventListener(end, () => this.release());
    }
    // A finger that is lifted leaves too: its tip stays until the next touch.
    svg.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && this.hideTip(true));
    svg.addEventListener("keydown", (event) => this.key(event));
    svg.addEventListener("focusin", (event) => this.focused(event));
    svg.addEventListener("focusout", () => this.hideTip(true));
  }

  itemOf(target) {
    const { of, key, item } = target.dataset ?? {};
    const mark = of ?? target.parentNode?.dataset?.mark;
    return { group: this.marks.get(mark), item: this.marks.get(mark)?.items.get(key ?? item) };
  }

  grab(event) {
    const { item } = this.itemOf(event.target);
    if (!item?.drag || event.button > 0) {
      this.showTip(event.target);
      return;
    }
    event.preventDefault();
    event.target.focus({ preventScroll: true });
    this.svg.setPointerCapture(event.pointerId);
    this.held = item;
    item.handle.classList.add("ml-held");
    const box = this.svg.getBoundingClientRect();
    // Where the mark was taken hold of, so that it does not jump to the pointer.
    const round = item.handle.tagName === "circle";
    this.grip = round
      ? [event.clientX - box.left - item.goal[0], event.clientY - box.top - item.goal[1]]
      : [0, 0];
    if (Object.keys(item.drag.sets).length) this.onDrag({ ...item.drag.sets }, item.drag.label);
  }

  pointerMoved(event) {
    if (!this.held) {
      this.showTip(event.target);
      return;
    }
    const box = this.svg.getBoundingClientRect();
    const { drag } = this.held;
    const patch = { ...drag.sets };
    const put = (field, axis, pixel) => {
      const control = field && this.controlOf(field);
      if (control) patch[field] = snap(axis.invert(pixel), control);
    };
    put(drag.x, this.x, event.clientX - box.left - this.grip[0]);
    put(drag.y, this.y, event.clientY - box.top - this.grip[1]);
    this.onDrag(patch, drag.label);
  }

  release() {
    this.held?.handle?.classList.remove("ml-held");
    this.held = null;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { item } = this.itemOf(event.target);
    if (item?.drag) this.keyDrag(event, item.drag);
    else if (event.target === this.svg) this.keyRead(event);
  }

  keyDrag(event, drag) {
    const sideways = ["ArrowLeft", "ArrowRight"].includes(event.key);
    const field = drag.x && (sideways || !drag.y) ? drag.x : drag.y && !sideways ? drag.y : drag.x ?? drag.y;
    const control = this.controlOf(field);
    if (!control) return;
    const now = this.state[field];
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
    let goal;
    if (event.key in steps) goal = now + steps[event.key] * control.step;
    else if (event.key === "Home") goal = control.low;
    else if (event.key === "End") goal = control.high;
    else return;
    event.preventDefault();
    this.onDrag({ ...drag.sets, [field]: snap(goal, control) }, drag.label);
  }

  // The panel itself is one stop of the tab key; arrows walk over the marks that have a text.
  keyRead(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") this.hideTip(true);
    if (!step) return;
    event.preventDefault();
    const readable = [];
    for (const group of this.marks.values()) {
      if (!group.mark.hover || getComputedStyle(group.el).display === "none") continue;
      for (const item of group.items.values()) {
        if (group.mark.hover[item.index]) readable.push(item.el);
      }
    }
    if (!readable.length) return;
    const at = readable.indexOf(this.read);
    const next = at < 0 && step < 0 ? readable.length - 1 : at + step;
    this.showTip(readable[(next + readable.length) % readable.length]);
  }

  focused(event) {
    if (event.target !== this.svg) this.showTip(event.target);
  }

  showTip(target) {
    const { group, item } = this.itemOf(target);
    const words = group?.mark.hover?.[item?.index] ?? item?.drag?.label;
    if (!words) {
      this.hideTip(true);
      return;
    }
    if (this.read !== item.el) {
      this.read?.classList.remove("ml-read");
      item.el.classList.add("ml-read");
    }
    this.read = item.el;
    this.tip.textContent = words;
    this.tip.hidden = false;
    const [x, y] = anchorOf(group.kind, item.goal);
    const half = this.tip.offsetWidth / 2;
    const left = Math.min(Math.max(x, half), Math.max(half, this.width - half));
    const above = y - this.tip.offsetHeight - 12;
    this.tip.style.transform = `translate(${left - half}px, ${above < 0 ? y + 14 : above}px)`;
  }

  hideTip(forget) {
    this.tip.hidden = true;
    this.read?.classList.remove("ml-read");
    if (forget) this.read = null;
  }

  close() {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
  }
}

// Where a tip points to: a dot's centre, a line's last point, the top of a bar.
function anchorOf(kind, g) {
  if (kind === "bars" || kind === "cells") return [(g[0] + g[2]) / 2, Math.min(g[1], g[3])];
  if (kind === "lines" || kind === "arrows") return g.slice(-2);
  return g;
}
