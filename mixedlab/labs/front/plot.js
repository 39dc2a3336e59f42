// One panel, drawn as SVG at its real size in pixels, so that text is never scaled.
//
// Marks are kept by key from one scene to the next: what is still there moves, what is new sets out
// from what it comes from or fades in, what is gone is taken away. Marks are clipped at the frame.
// What can be dragged has a handle of its own on top of all marks (hold.js), at least 32 px wide.

import { drawAxes } from "./axes.js";
import { Hold } from "./hold.js";
import { KINDS, numbersOf } from "./marks.js";
import { Motion, startOf } from "./motion.js";
import { element } from "./svg.js";

const HANDLE_PX = 16;
const ROOM = 9; // px around the frame in which a mark on it is still drawn whole

const isSeenAtOnce = ({ stage, color }) => stage === "data" && color !== "guide";

let plots = 0; // names the clips

export class Plot {
  // `box` is emptied. `host` has onDrag(patch, source), controlOf(field), stateNow(),
  // onHold(held), onPoint(key) and, optionally, isBet(field).
  constructor(box, label, host) {
    this.box = box;
    this.host = host;
    this.marks = new Map();
    this.svg = element("svg", "ml-svg");
    this.svg.setAttribute("role", "group");
    this.svg.setAttribute("tabindex", "0");
    this.caption = box.parentNode.querySelector("[data-ml=panel-title]");
    this.entitle(label);
    this.makeClip();
    this.axes = element("g", "ml-axes", this.svg);
    this.axes.setAttribute("aria-hidden", "true");
    const inside = element("g", "", this.svg);
    inside.setAttribute("clip-path", `url(#${this.clip.id})`);
    this.body = element("g", "ml-body", inside);
    this.over = element("g", "ml-over", this.svg); // the bet
    this.handles = element("g", "ml-handles", this.svg);
    this.tip = document.createElement("div");
    this.tip.className = "ml-tip";
    this.tip.setAttribute("role", "status");
    this.tip.hidden = true;
    box.replaceChildren(this.svg, this.tip);
    this.motion = new Motion((item) => this.paint(item));
    this.hold = new Hold(this, host);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(box);
  }

  makeClip() {
    plots += 1;
    this.clip = element("clipPath", "", this.svg);
    this.clip.id = `ml-clip-${plots}`;
    this.frame = element("rect", "", this.clip);
  }

  entitle(title) {
    if (this.title === title) return;
    this.title = title;
    this.caption.textContent = title;
    this.svg.setAttribute("aria-label", `${title}. Arrow keys read the marks one by one.`);
  }

  // Take the size that the layout gives; true where it is another one. To ask has the page laid out:
  // a folded helper, which has none, is asked once, and then the observer tells.
  measure() {
    this.measured = true;
    const { clientWidth: width, clientHeight: height } = this.box;
    if (!width || !height || (width === this.width && height === this.height)) return false;
    [this.width, this.height] = [width, height];
    this.font = parseFloat(getComputedStyle(this.svg).fontSize);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    return true;
  }

  resize() {
    if (this.measure() && this.panel) this.draw(false);
  }

  // `frozen`: a control is held, so no axis may change its range.
  show(panel, state, { move = true, frozen = false, slow = false } = {}) {
    this.panel = panel;
    this.state = state;
    this.frozen = frozen;
    if (!this.width && (this.measured || !this.measure())) return;
    this.draw(move, slow);
  }

  // The control was let go: an axis that had to wait eases to its range.
  thaw() {
    if (!this.frozen) return;
    this.frozen = false;
    if (this.panel && this.width) this.draw(true);
  }

  draw(move, slow = false) {
    if (!this.panel || !this.width) return; // a folded helper has no size yet
    this.layOut();
    const drawn = this.panel.marks.flatMap((mark) => [mark, numbersOf(mark)].filter(Boolean));
    this.box.parentNode.toggleAttribute("data-later", !this.panel.marks.some(isSeenAtOnce));
    this.motion.begin(move, slow);
    this.wrote = new Set();
    for (const mark of drawn) this.drawMark(mark);
    const keys = drawn.map((mark) => mark.key);
    for (const [key, group] of this.marks) {
      if (keys.includes(key)) continue;
      for (const item of group.items.values()) this.drop(item);
      group.el.remove();
      this.marks.delete(key);
    }
    this.order(keys);
    this.hold.refreshTip();
    this.motion.run();
    this.afterDraw?.(this);
  }

  drop(item) {
    item.handle?.remove();
    item.el.remove();
    this.motion.forget(item);
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
    const { width, height, font } = this;
    const kept = (name) => {
      const [now, next] = [this.used?.[name], this.panel[name]];
      const changes = now && (now.low !== next.low || now.high !== next.high);
      return this.frozen && changes ? now : next;
    };
    this.used = { x: kept("x"), y: kept("y") };
    const key = JSON.stringify([this.used, width, height, font]);
    if (key === this.axesKey) return;
    this.axesKey = key;
    Object.assign(this, drawAxes(this.axes, this.used, { width, height, font }));
    const { left, right, top, bottom } = this.edges;
    const box = { x: left - ROOM, y: top - ROOM, width: right - left + 2 * ROOM, height: bottom - top + 2 * ROOM };
    for (const [name, value] of Object.entries(box)) this.frame.setAttribute(name, value);
  }

  // ---- marks

  drawMark(mark) {
    const kind = KINDS[mark.kind];
    let group = this.marks.get(mark.key);
    if (!group || group.kind !== mark.kind) {
      for (const item of group?.items.values() ?? []) this.drop(item);
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
    const count = kind.count(mark);
    for (let i = 0; i < count; i++) {
      const key = mark.keys?.[i] ?? String(i);
      left.delete(key);
      let item = group.items.get(key);
      const goal = kind.geometry(mark, i, this.x, this.y, unit);
      const isNew = !item;
      if (isNew) {
        item = { el: element(kind.tag ?? "path", "", group.el), key, group };
        item.el.dataset.item = key;
        group.items.set(key, item);
      }
      const look = mark.hues ? `${className} ml-h-${mark.hues[i] % 8}` : className;
      if (item.look !== look) item.el.setAttribute("class", look);
      item.look = look;
      item.index = i;
      const start = isNew && mark.starts_from ? startOf(this, mark, item, goal) : null;
      this.motion.aim(item, goal, { start, place: i / count, repaint: kind.repaint });
      this.drawHandle(mark, item, mark.drag?.[i]);
    }
    for (const key of left) {
      this.drop(group.items.get(key));
      group.items.delete(key);
    }
  }

  dress(group, kind) {
    const { mark, el } = group;
    const look = [mark.stage, mark.color, mark.opacity, kind.width?.(mark), !mark.keys, mark.starts_from].join();
    if (look === group.look) return;
    group.look = look;
    const keyed = mark.keys ? " ml-keyed" : "";
    const moves = mark.starts_from ? " ml-moves" : "";
    el.setAttribute("class", `ml-mark ml-stage-${mark.stage} ml-c-${mark.color}${keyed}${moves}`);
    if (mark.kind === "bands") el.style.setProperty("--ml-opacity", mark.opacity);
    else el.style.opacity = mark.opacity;
    if (kind.width) el.style.strokeWidth = `${kind.width(mark)}px`;
  }

  // What a stage brings sets out from what it comes from.
  reveal(stage) {
    if (!this.panel || !this.width) return;
    this.measure();
    this.draw(false);
    this.motion.begin(true, true);
    for (const { mark, items } of this.marks.values()) {
      if (mark.stage !== stage || !mark.starts_from) continue;
      for (const item of items.values()) {
        const start = startOf(this, mark, item, item.goal);
        if (start) this.motion.aim(item, item.goal, { start, place: item.index / items.size });
      }
    }
    this.motion.run();
  }

  drawHandle(mark, item, drag) {
    if (!drag) {
      item.handle?.remove();
      item.handle = null;
      return;
    }
    if (!item.handle) {
      item.handle = element(mark.kind === "lines" ? "path" : "circle", "", this.handles);
      item.told = null;
      item.handle.setAttribute("role", "slider");
      item.handle.dataset.handle = `${mark.key}/${item.key}`;
      item.handle.dataset.of = mark.key;
      item.handle.dataset.key = item.key;
      this.placeHandle(item);
    }
    item.drag = drag;
    const fields = [drag.x, drag.y].filter(Boolean);
    // Of many handles that do the same, one is a stop of the tab key.
    // A field that is moved all the same need not be set to be told apart.
    const does = JSON.stringify([fields, Object.entries(drag.sets).filter(([f]) => !fields.includes(f))]);
    const first = !this.wrote.has(does);
    this.wrote.add(does);
    const isBet = first && fields.some((field) => this.host.isBet?.(field));
    const values = fields.map((field) => this.state[field]);
    const told = [first, isBet, mark.stage, mark.color, mark.drag.length, drag.label, values].join();
    if (item.told === told) return; // each attribute that is set has the handle styled anew
    item.told = told;
    item.handle.setAttribute("tabindex", first ? 0 : -1);
    if (isBet) item.handle.dataset.ml = "bet";
    else delete item.handle.dataset.ml;
    const held = item.handle.classList.contains("ml-held") ? " ml-held" : "";
    const many = mark.drag.length > 3 ? " ml-many" : "";
    item.handle.setAttribute("class", `ml-handle ml-stage-${mark.stage} ml-c-${mark.color}${many}${held}`);
    item.handle.setAttribute("aria-label", drag.label);
    const control = this.host.controlOf(fields[0]);
    if (!control) return;
    item.handle.setAttribute("aria-valuemin", control.low);
    item.handle.setAttribute("aria-valuemax", control.high);
    item.handle.setAttribute("aria-valuenow", this.state[fields[0]]);
    item.handle.setAttribute("aria-orientation", drag.x ? "horizontal" : "vertical");
    const words = fields.map((f) => `${this.host.controlOf(f)?.label ?? f} ${this.state[f]}`);
    item.handle.setAttribute("aria-valuetext", words.join(", "));
  }

  paint(item) {
    const { group } = item;
    KINDS[group.kind].paint(item.el, item.now, group.mark, item.index);
    if (item.handle) this.placeHandle(item);
  }

  placeHandle(item) {
    const { handle, now } = item;
    if (handle.tagName === "path") {
      handle.setAttribute("d", item.el.getAttribute("d"));
    } else {
      handle.setAttribute("cx", now[0]);
      handle.setAttribute("cy", now[1]);
      handle.setAttribute("r", Math.max(HANDLE_PX, (now[2] ?? 0) + 6));
    }
  }

  // Twins of the item with this key are lit, other keyed items dimmed; null lights all again.
  light(key) {
    for (const el of this.lit ?? []) el.classList.remove("ml-twin");
    this.lit = [];
    if (key !== null) {
      for (const { mark, items } of this.marks.values()) {
        const el = mark.keys && items.get(key)?.el;
        if (el) this.lit.push(el);
      }
    }
    for (const el of this.lit) el.classList.add("ml-twin");
    this.svg.classList.toggle("ml-dim", this.lit.length > 0);
  }

  // Where an item stands on the screen.
  placeOf(mark, key) {
    const items = this.marks.get(mark)?.items;
    const item = items?.get(key) ?? items?.values().next().value;
    if (!item?.el.getClientRects().length) return null;
    const box = item.el.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  }

  close() {
    this.observer.disconnect();
    this.motion.stop();
  }
}
