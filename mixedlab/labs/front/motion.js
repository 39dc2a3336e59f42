// Movement of marks: one clock for a panel. A change moves all at once and quickly; what is new or
// revealed travels for about 0.9 s, one item after the other. With reduced motion all jumps.

const MOVE_MS = 220;
const TRAVEL_MS = 480;
const STAGGER_MS = 420;

export const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Motion {
  constructor(paint) {
    this.paint = paint;
    this.moving = new Set();
  }

  begin(move, slow) {
    this.move = move && !still.matches;
    this.slow = slow;
    this.now = performance.now();
  }

  // Let an item go to `goal`: from where it is, or from `start`; `place` (0 to 1) is its turn.
  aim(item, goal, { start = null, place = 0, repaint = false }) {
    const from = start ?? (item.now?.length === goal.length ? item.now : goal);
    const moves = goal.some((v, k) => Math.abs(v - from[k]) > 0.05);
    item.goal = goal;
    if (!this.move || !moves) {
      this.moving.delete(item);
      const changed = !item.now || repaint || item.now.length !== goal.length || goal.some((v, k) => v !== item.now[k]);
      item.now = goal;
      if (changed) this.paint(item);
      return;
    }
    const travels = start !== null || this.slow;
    item.from = from;
    item.begins = this.now + (travels ? place * STAGGER_MS : 0);
    item.lasts = travels ? TRAVEL_MS : MOVE_MS;
    item.now = from;
    this.moving.add(item);
    this.paint(item);
  }

  run() {
    cancelAnimationFrame(this.frame);
    if (this.moving.size) this.frame = requestAnimationFrame((time) => this.step(time));
  }

  step(time) {
    for (const item of this.moving) {
      const t = Math.min(1, Math.max(0, (time - item.begins) / item.lasts));
      if (t === 0) continue;
      const eased = 1 - (1 - t) ** 3;
      item.now = t === 1 ? item.goal : item.goal.map((end, k) => item.from[k] + (end - item.from[k]) * eased);
      if (t === 1) this.moving.delete(item);
      this.paint(item);
    }
    this.run();
  }

  forget(item) {
    this.moving.delete(item);
  }

  stop() {
    cancelAnimationFrame(this.frame);
  }
}

// The geometry from which an item sets out: that of the item with the same key of the mark that it
// starts from, or a place above the frame. Null where there is none.
export function startOf(plot, mark, item, goal) {
  const kind = item.group.kind;
  if (mark.starts_from === "top") {
    const fall = plot.height;
    return kind === "dots" ? [goal[0], -10, goal[2]] : goal.map((v, k) => (k % 2 ? v - fall : v));
  }
  const group = plot.marks.get(mark.starts_from);
  const source = group?.items.get(item.key) ?? (group?.items.size === 1 ? [...group.items.values()][0] : null);
  if (!source?.now) return null;
  if (group.kind === kind && source.now.length === goal.length) return source.now;
  const [x, y] = anchorOf(group.kind, source.now);
  return kind === "dots" ? [x, y, goal[2]] : goal.map((_, k) => (k % 2 ? y : x));
}

// The point that stands for an item: a dot's centre, a line's last point, the top of a bar.
export function anchorOf(kind, g) {
  if (kind === "bars" || kind === "cells") return [(g[0] + g[2]) / 2, Math.min(g[1], g[3])];
  if (kind === "lines" || kind === "arrows") return g.slice(-2);
  return g;
}
