// The two axes of a panel: its margins, scales, ticks, grid lines and labels.

import { roundTicks, scale } from "./scale.js";
import { element } from "./svg.js";

const CHARACTER = 0.56; // mean width of a character in ems: good enough for margins

// Draw the axes of a panel into `group`; returns its scales { x, y } from values to pixels, and the
// frame's { edges }.
export function drawAxes(group, { x, y }, { width, height, font }) {
  const em = (n) => n * font;
  const bottom = x.visible ? em(x.label ? 3 : 1.7) : em(0.5);
  const top = em(2); // the y axis's label stands here, and what is pointed at is told here
  const yTicks = ticksOf(y, (height - top - bottom) / em(4));
  const widest = Math.max(0, ...yTicks.map(([, text]) => text.length));
  const left = yTicks.length ? Math.min(width * 0.42, em(widest * CHARACTER + 0.9)) : em(0.5);
  const right = width - em(0.8);
  const scales = {
    x: scale(x.low, x.high, left, right),
    y: scale(y.low, y.high, height - bottom, top),
  };
  const edges = { left, right, top, bottom: height - bottom };
  group.replaceChildren();
  drawY(group, y, yTicks, scales.y, left, right, em);
  if (x.visible) drawX(group, x, ticksOf(x, (right - left) / em(5)), scales.x, height - bottom, width, em);
  return { ...scales, edges };
}

const ticksOf = (axis, count) =>
  axis.visible ? axis.ticks ?? roundTicks(axis.low, axis.high, count) : [];

function drawX(group, axis, ticks, x, at, width, em) {
  element("path", "ml-axis", group).setAttribute("d", `M${x(axis.low)} ${at}H${x(axis.high)}`);
  let free = -Infinity; // where the last label ends: one that would touch it is left out
  for (const [value, label] of ticks) {
    element("path", "ml-tick", group).setAttribute("d", `M${x(value)} ${at}v4`);
    const half = em((label.length * CHARACTER) / 2);
    const place = Math.max(half, Math.min(x(value), width - half));
    if (place - half < free) continue;
    free = place + half + em(0.4);
    write(group, label, place, at + em(1.35), "middle");
  }
  const middle = (x(axis.low) + x(axis.high)) / 2;
  if (axis.label) write(group, axis.label, middle, at + em(2.75), "middle", "ml-axis-label");
}

// The label stands above its axis: an upright one is read with a turned head.
function drawY(group, axis, ticks, y, left, right, em) {
  let free = Infinity;
  for (const [value, label] of ticks) {
    const place = y(value);
    element("path", "ml-grid", group).setAttribute("d", `M${left} ${place}H${right}`);
    if (Math.abs(place - free) < em(1)) continue;
    free = place;
    write(group, label, left - em(0.5), place + em(0.34), "end");
  }
  if (axis.visible && axis.label) write(group, axis.label, 1, em(0.95), "start", "ml-axis-label");
}

function write(group, words, x, y, anchor, className = "ml-tick-label") {
  const el = element("text", `${className} ml-${anchor}`, group);
  el.setAttribute("x", x);
  el.setAttribute("y", y);
  el.textContent = words;
}
