// A lab's state as a link, or in a notebook as a line of Python; and back.

import { snap } from "./scale.js";

export const STAGES = ["data", "estimate", "truth"];
export const SKIPPED = "none"; // the bet of who lets it be shown without one

// `linked` are fields that a link holds even where they are the default: columns of a table.
export function writeLink({ name, defaults, share, linked = [] }, state, answer, stage) {
  const isTold = ([field, value]) => value !== defaults[field] || linked.includes(field);
  const changed = Object.entries(state).filter(isTold);
  if (share !== "link") {
    const settings = changed.map(([field, value]) => `, ${field}=${python(value)}`).join("");
    return `ml.lab("${name}"${settings})`;
  }
  const query = new URLSearchParams(changed.map(([field, value]) => [field, String(value)]));
  if (answer !== null) query.set("answer", [answer].flat().join(","));
  if (stage > 0) query.set("stage", STAGES[stage]);
  return `${location.href.split("#")[0]}#${name}?${query}`;
}

// What a link says is untrusted. Values stay the text they are until Python has cleaned them;
// answer and stage must be among those there are. Null where the link is not for this lab.
export function readLink({ name, defaults, bet, share }, hash) {
  const [lab, query] = hash.slice(1).split(/\?(.*)/s);
  if (share !== "link" || lab !== name || query === undefined) return null;
  const given = new URLSearchParams(query);
  const state = { ...defaults };
  for (const field of Object.keys(state)) if (given.has(field)) state[field] = given.get(field);
  const wish = STAGES.indexOf(given.get("stage"));
  let answer = readAnswer(bet, given.get("answer"));
  if (wish > 0) answer ??= SKIPPED;
  return { state, answer, stage: answer === null ? 0 : Math.max(1, wish) };
}

// A bet: an option's number, or numbers within the handle's range; null where it is none of these.
function readAnswer(bet, text) {
  if (text === null) return null;
  if (text === SKIPPED || text === "-1") return SKIPPED;
  const numbers = text.split(",").map(Number);
  if (text.trim() === "" || !numbers.every(Number.isFinite)) return null;
  if (bet.kind === "choice") return Number.isInteger(numbers[0]) && numbers[0] in bet.options ? numbers[0] : null;
  if (numbers.length !== [bet.start].flat().length) return null;
  const kept = numbers.map((v) => snap(v, bet));
  return bet.kind === "curve" ? kept : kept[0];
}

const python = (value) =>
  typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);
