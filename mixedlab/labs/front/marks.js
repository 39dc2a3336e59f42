// The kinds of marks. Each says how many items it has, what an item's geometry is (an array of
// pixel numbers, so that the plot can move it from one place to another), and how it is painted.

import { numeral } from "./scale.js";

const path = (el, d) => el.setAttribute("d", d);
const r1 = (v) => Math.round(v * 10) / 10;

const SHAPES = {
  circle: (x, y, radius) => {
    const r = r1(radius); // both halves must use the same rounded radius to close as a circle
    return `M${r1(x - r)} ${r1(y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`;
  },
  square: (x, y, r) => polygon([x - r, y - r, x + r, y - r, x + r, y + r, x - r, y + r]),
  diamond: (x, y, r) => polygon([x, y - 1.3 * r, x + 1.3 * r, y, x, y + 1.3 * r, x - 1.3 * r, y]),
  triangle: (x, y, r) => polygon([x, y - 1.2 * r, x + 1.1 * r, y + 0.9 * r, x - 1.1 * r, y + 0.9 * r]),
  cross: (x, y, r) =>
    `${polyline([x - r, y - r, x + r, y + r])}${polyline([x + r, y - r, x - r, y + r])}`,
};

function polyline(points) {
  let d = "";
  for (let k = 0; k < points.length; k += 2) {
    d += `${k ? "L" : "M"}${r1(points[k])} ${r1(points[k + 1])}`;
  }
  return d;
}

const polygon = (points) => `${polyline(points)}Z`;

function interleave(xs, ys, x, y) {
  const points = new Array(2 * xs.length);
  for (let k = 0; k < xs.length; k++) {
    points[2 * k] = x(xs[k]);
    points[2 * k + 1] = y(ys[k]);
  }
  return points;
}

const fill = (mark) => (mark.shape === "cross" ? "ml-line" : mark.filled ? "ml-filled" : "ml-open");
const sizeOf = (mark, i) => (Array.isArray(mark.size) ? mark.size[i] : mark.size);

// It stops `gap` px short of its end. A head of at most 7 px, smaller on a short arrow; an arrow
// of less than 2 px has none.
function arrow([x0, y0, xEnd, yEnd], gap) {
  const reach = Math.hypot(xEnd - x0, yEnd - y0);
  const length = Math.max(0, reach - gap);
  if (length < 2) return polyline([x0, y0, x0, y0]);
  const [ux, uy] = [(xEnd - x0) / reach, (yEnd - y0) / reach];
  const [x1, y1] = [x0 + length * ux, y0 + length * uy];
  const head = Math.min(7, length / 2);
  const wing = (side) => [
    x1 - head * (ux - 0.55 * side * uy),
    y1 - head * (uy + 0.55 * side * ux),
  ];
  return polyline([x0, y0, x1, y1]) + polyline([...wing(1), x1, y1, ...wing(-1)]);
}

export const KINDS = {
  dots: {
    count: (m) => m.x.length,
    className: (m) => `ml-dot ${fill(m)}`, // a cross is two lines
    geometry: (m, i, x, y, unit) => [x(m.x[i]), y(m.y[i]), sizeOf(m, i) * unit],
    paint: (el, g, m) => path(el, SHAPES[m.shape](...g)),
  },
  lines: {
    count: (m) => m.x.length,
    className: (m) => `ml-line${m.dashed ? " ml-dashed" : ""}`,
    geometry: (m, i, x, y) => interleave(m.x[i], m.y[i], x, y),
    paint: (el, g, m) => path(el, polyline(g)),
    width: (m) => m.width,
  },
  arrows: {
    count: (m) => m.x0.length,
    className: () => "ml-line",
    geometry: (m, i, x, y) => [x(m.x0[i]), y(m.y0[i]), x(m.x1[i]), y(m.y1[i])],
    paint: (el, g, m) => path(el, arrow(g, m.gap)),
    width: (m) => m.width,
  },
  bands: {
    count: (m) => m.x.length,
    className: () => "ml-filled ml-band",
    geometry: (m, i, x, y) => [
      ...interleave(m.x[i], m.low[i], x, y),
      ...interleave([...m.x[i]].reverse(), [...m.high[i]].reverse(), x, y),
    ],
    paint: (el, g) => path(el, polygon(g)),
  },
  bars: {
    count: (m) => m.x0.length,
    className: (m) => `ml-bar ${fill(m)}`,
    geometry: (m, i, x, y) => [x(m.x0[i]), y(m.y0[i]), x(m.x1[i]), y(m.y1[i])],
    paint: (el, [x0, y0, x1, y1]) => path(el, polygon([x0, y0, x1, y0, x1, y1, x0, y1])),
  },
  cells: {
    count: (m) => (m.x.length - 1) * (m.y.length - 1),
    className: () => "ml-cell",
    geometry: (m, i, x, y) => {
      const [row, column] = cellOf(m, i);
      return [x(m.x[column]), y(m.y[row]), x(m.x[column + 1]), y(m.y[row + 1])];
    },
    paint: (el, [x0, y0, x1, y1], m, i) => {
      path(el, polygon([x0, y0, x1, y0, x1, y1, x0, y1]));
      el.style.fill = heat(m, valueOf(m, i));
    },
    repaint: true,
  },
  texts: {
    tag: "text",
    count: (m) => m.x.length,
    className: (m) => `ml-text ml-${m.anchor}`,
    geometry: (m, i, x, y) => [x(m.x[i]), y(m.y[i])],
    paint: (el, g, m, i) => {
      el.setAttribute("x", r1(g[0]));
      el.setAttribute("y", r1(g[1]));
      if (el.textContent !== m.text[i]) el.textContent = m.text[i];
    },
    repaint: true,
  },
};

function cellOf(mark, i) {
  const columns = mark.x.length - 1;
  return [Math.floor(i / columns), i % columns];
}

function valueOf(mark, i) {
  const [row, column] = cellOf(mark, i);
  return mark.values[row][column];
}

// A value's colour, mixed from the ends of the scale that lab.css names.
function heat(mark, value) {
  if (mark.diverging) {
    const reach = Math.max(Math.abs(mark.low), Math.abs(mark.high)) || 1;
    const end = value < 0 ? "var(--ml-heat-below)" : "var(--ml-heat-high)";
    return mix(end, Math.abs(value) / reach);
  }
  return mix("var(--ml-heat-high)", (value - mark.low) / (mark.high - mark.low || 1));
}

function mix(end, share) {
  const percent = Math.round(100 * Math.min(1, Math.max(0, share)));
  return `color-mix(in oklab, ${end} ${percent}%, var(--ml-heat-zero))`;
}

// The numbers in a heat map's cells are texts of their own, on top of it.
export function numbersOf(mark) {
  if (mark.kind !== "cells" || mark.digits === null) return null;
  const n = KINDS.cells.count(mark);
  const middle = (edges, k) => (edges[k] + edges[k + 1]) / 2;
  const cells = Array.from({ length: n }, (_, i) => cellOf(mark, i));
  return {
    ...mark,
    kind: "texts",
    key: `${mark.key}-numbers`,
    name: "",
    color: "data",
    anchor: "middle",
    hover: null,
    opacity: 1,
    x: cells.map(([, column]) => middle(mark.x, column)),
    y: cells.map(([row]) => middle(mark.y, row)),
    text: cells.map((_, i) => numeral(valueOf(mark, i), mark.digits)),
  };
}
