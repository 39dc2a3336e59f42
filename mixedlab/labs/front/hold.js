// What a reader does inside a panel: takes hold of a mark and drags it, moves it with the keys,
// points at marks and reads them one by one.

import { snap, STEPS } from "./scale.js";


export class Hold {
  constructor(plot, host) {
    this.plot = plot;
    this.host = host;
    const { svg } = plot;
    svg.addEventListener("pointerdown", (event) => this.grab(event));
    svg.addEventListener("pointermove", (event) => this.moved(event));
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => this.release());
    // A finger that is lifted leaves too: its tip stays until the next touch.
    svg.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && this.hideTip());
    svg.addEventListener("keydown", (event) => this.key(event));
    svg.addEventListener("focusin", (event) => event.target !== svg && this.showTip(event.target));
    svg.addEventListener("focusout", () => this.hideTip());
  }

  itemOf(target) {
    const { of, key, item } = target.dataset ?? {};
    const group = this.plot.marks.get(of ?? target.parentNode?.dataset?.mark);
    return group?.items.get(key ?? item);
  }

  // ---- dragging

  grab(event) {
    const item = this.itemOf(event.target);
    if (!item?.drag || event.button > 0) {
      this.showTip(event.target);
      return;
    }
    event.preventDefault();
    event.target.focus({ preventScroll: true });
    this.plot.svg.setPointerCapture(event.pointerId);
    this.held = item;
    item.handle.classList.add("ml-held");
    this.host.onHold(true);
    const box = this.plot.svg.getBoundingClientRect();
    // Where the mark was taken hold of, so that it does not jump to the pointer.
    const round = item.handle.tagName === "circle";
    this.grip = round
      ? [event.clientX - box.left - item.goal[0], event.clientY - box.top - item.goal[1]]
      : [0, 0];
    if (Object.keys(item.drag.sets).length) this.host.onDrag({ ...item.drag.sets }, item.drag.label);
  }

  moved(event) {
    if (!this.held) {
      this.showTip(event.target);
      return;
    }
    const box = this.plot.svg.getBoundingClientRect();
    const { drag } = this.held;
    const patch = { ...drag.sets };
    const put = (field, axis, pixel, ends) => {
      const control = field && this.host.controlOf(field);
      if (control) patch[field] = snap(valueAt(axis.invert(pixel), ends, control), control);
    };
    put(drag.x, this.plot.x, event.clientX - box.left - this.grip[0], drag.ends);
    put(drag.y, this.plot.y, event.clientY - box.top - this.grip[1], drag.x ? null : drag.ends);
    this.host.onDrag(patch, drag.label);
  }

  release() {
    if (!this.held) return;
    this.held.handle?.classList.remove("ml-held");
    this.held = null;
    this.host.onHold(false);
  }

  // ---- keys

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const item = this.itemOf(event.target);
    if (item?.drag) this.keyDrag(event, item.drag);
    else if (event.target === this.plot.svg) this.keyRead(event);
  }

  // Keys build on the state that is wanted, which may still be under way: none is lost.
  keyDrag(event, drag) {
    const sideways = ["ArrowLeft", "ArrowRight"].includes(event.key);
    const field = drag.x && (sideways || !drag.y) ? drag.x : drag.y && !sideways ? drag.y : drag.x ?? drag.y;
    const control = this.host.controlOf(field);
    if (!control) return;
    let goal;
    if (event.key in STEPS) goal = this.host.stateNow()[field] + STEPS[event.key] * control.step;
    else if (event.key === "Home") goal = control.low;
    else if (event.key === "End") goal = control.high;
    else return;
    event.preventDefault();
    this.host.onDrag({ ...drag.sets, [field]: snap(goal, control) }, drag.label);
  }

  // The panel itself is one stop of the tab key; arrows walk over the marks that have a text.
  keyRead(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") this.hideTip();
    if (!step) return;
    event.preventDefault();
    const readable = [];
    for (const { mark, el, items } of this.plot.marks.values()) {
      if (!mark.hover || getComputedStyle(el).display === "none") continue;
      for (const item of items.values()) if (mark.hover[item.index]) readable.push(item.el);
    }
    if (!readable.length) return;
    const at = readable.indexOf(this.read);
    const next = at < 0 && step < 0 ? readable.length - 1 : at + step;
    this.showTip(readable[(next + readable.length) % readable.length]);
  }

  // ---- reading: what is pointed at is told above the frame, where it covers no data

  showTip(target) {
    const item = this.itemOf(target);
    const words = item?.group.mark.hover?.[item.index] ?? item?.drag?.label;
    if (!words) {
      this.hideTip();
      return;
    }
    if (this.read !== item.el) {
      this.read?.classList.remove("ml-read");
      item.el.classList.add("ml-read");
      this.host.onPoint(item.group.mark.keys ? item.key : null);
    }
    this.read = item.el;
    this.readItem = item;
    this.plot.tip.textContent = words;
    this.plot.tip.hidden = false;
  }

  // After a new scene the words may be others, or the item gone.
  refreshTip() {
    if (!this.read) return;
    if (this.read.isConnected) this.showTip(this.read);
    else this.hideTip();
  }

  hideTip() {
    if (!this.plot.tip.hidden) this.plot.tip.hidden = true;
    if (!this.read) return;
    this.read.classList.remove("ml-read");
    this.read = null;
    this.host.onPoint(null);
  }
}

// The field's value at a place of the axis: the place itself, or its share of the way between ends.
function valueAt(place, ends, { low, high }) {
  if (!ends) return place;
  const way = ends[1] - ends[0];
  return way ? low + ((place - ends[0]) / way) * (high - low) : low;
}
