// A lab's state as a link, or in a notebook as a line of Python; and back.

export const STAGES = ["data", "estimate", "truth"];
export const SKIPPED = -1; // the answer of who lets it be shown without answering

export function writeLink({ name, defaults, share }, state, answer, stage) {
  const changed = Object.entries(state).filter(([field, value]) => value !== defaults[field]);
  if (share !== "link") {
    const settings = changed.map(([field, value]) => `, ${field}=${python(value)}`).join("");
    return `ml.lab("${name}"${settings})`;
  }
  const query = new URLSearchParams(changed.map(([field, value]) => [field, String(value)]));
  if (answer !== null) query.set("answer", answer);
  if (stage > 0) query.set("stage", STAGES[stage]);
  return `${location.href.split("#")[0]}#${name}?${query}`;
}

// What a link says is untrusted. Values stay the text they are until Python has cleaned them;
// answer and stage must be among those there are. Null where the link is not for this lab.
export function readLink({ name, defaults, question, share }, hash) {
  const [lab, query] = hash.slice(1).split(/\?(.*)/s);
  if (share !== "link" || lab !== name || query === undefined) return null;
  const given = new URLSearchParams(query);
  const state = { ...defaults };
  for (const field of Object.keys(state)) if (given.has(field)) state[field] = given.get(field);
  const wish = STAGES.indexOf(given.get("stage"));
  const known = [SKIPPED, ...question.options.keys()].map(String);
  let answer = known.includes(given.get("answer")) ? Number(given.get("answer")) : null;
  if (wish > 0) answer ??= SKIPPED;
  return { state, answer, stage: answer === null ? 0 : Math.max(1, wish) };
}

const python = (value) =>
  typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);
