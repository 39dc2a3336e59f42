// Axes: from values to pixels, round ticks, and how numbers are written.

export function scale(low, high, from, to) {
  const slope = (to - from) / (high - low || 1);
  const map = (value) => from + (value - low) * slope;
  map.invert = (pixel) => low + (pixel - from) / slope;
  return map;
}

// About `count` round numbers from low to high, as [value, label]; two at least, where the axis
// would not be read otherwise.
export function roundTicks(low, high, count) {
  const ticks = stepsWithin(low, high, count);
  return ticks.length < 2 && count < 8 ? roundTicks(low, high, count + 1) : ticks;
}

function stepsWithin(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) {
    ticks.push([k * step, numeral(k * step, digits)]);
  }
  return ticks;
}

// With a true minus sign and thin spaces between thousands.
export function numeral(value, digits) {
  const [whole, part] = Math.abs(value).toFixed(digits).split(".");
  const grouped = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, "\u2009") : whole;
  const sign = value < 0 && Number(value.toFixed(digits)) !== 0 ? "\u2212" : "";
  return sign + grouped + (part ? `.${part}` : "");
}

// How many decimals a step needs, and the value nearest to `value` that the steps reach.
export const decimals = (step) => (String(step).split(".")[1] ?? "").length;

export function snap(value, { low, high, step }) {
  const steps = Math.round((Math.min(high, Math.max(low, value)) - low) / step);
  return Number(Math.min(high, low + steps * step).toFixed(10));
}

// What the keys of a slider do, in steps.
export const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
