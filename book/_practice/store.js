// What is kept on this device: edited code, answers, and where the reader was. What is read back
// may be anything, so each field is taken only where it is what it should be.

const LONGEST = 20_000;

function read(key) {
  try {
    const value = JSON.parse(localStorage.getItem(`mixedlab.${key}`));
    return value && typeof value === "object" && !Array.isArray(value) ? value : {};
  } catch {
    return {}; // none, broken, or a browser that keeps nothing
  }
}

function write(key, value) {
  try {
    if (Object.keys(value).length) localStorage.setItem(`mixedlab.${key}`, JSON.stringify(value));
    else localStorage.removeItem(`mixedlab.${key}`);
  } catch {
    // kept for this visit only
  }
}

const text = (value) => (typeof value === "string" ? value.slice(0, LONGEST) : "");
const path = () => location.pathname.replace(/\/(index\.html)?$/, "/index.html");

/** Edited code by what the book printed: a cell that the book has changed starts anew. */
export class CodeStore {
  key(built) {
    return `${path()}#${hash(built)}`;
  }

  get(built) {
    return text(read("code")[this.key(built)]) || null;
  }

  set(built, code) {
    const { [this.key(built)]: _, ...all } = read("code");
    write("code", code === null ? all : { ...all, [this.key(built)]: code });
  }
}

function hash(code) {
  let sum = 5381;
  for (const sign of code) sum = ((sum * 33) ^ sign.codePointAt(0)) >>> 0;
  return sum.toString(36);
}

/** Answers to exercises: {tries: [{answer, given, right, mistake, says}], solution, draft}. */
export const answers = {
  get(exercise) {
    const kept = Object.hasOwn(read("answers"), exercise) ? read("answers")[exercise] : {};
    const tries = Array.isArray(kept?.tries) ? kept.tries : [];
    return {
      tries: tries
        .filter((one) => one && typeof one === "object" && typeof one.right === "boolean")
        .slice(0, 100)
        .map(({ answer, given, right, mistake, says, late }) => ({
          answer: text(answer), given: text(given), right, mistake: text(mistake), says: text(says),
          late: late === true,
        })),
      solution: text(kept?.solution),
      draft: text(kept?.draft),
    };
  },

  set(exercise, value) {
    write("answers", { ...read("answers"), [exercise]: value });
    dispatchEvent(new Event("mp-progress"));
  },

  clear(exercises) {
    const kept = Object.entries(read("answers")).filter(([name]) => !exercises.includes(name));
    write("answers", Object.fromEntries(kept));
    dispatchEvent(new Event("mp-progress"));
  },

  /** Whether an exercise is solved, seen (solved or not, after its solution), tried, or neither. */
  state(exercise) {
    const { tries, solution } = answers.get(exercise);
    if (tries.some((one) => one.right && !one.late)) return "solved";
    if (solution) return "seen";
    return tries.length ? "tried" : "";
  },
};

/** Where the reader was in a page: a heading, and how far below it. */
export const places = {
  get() {
    const kept = read("places")[path()];
    const { id, below } = kept && typeof kept === "object" ? kept : {};
    return { id: text(id), below: Number.isFinite(below) ? below : 0 };
  },

  set(place) {
    const { [path()]: _, ...all } = read("places");
    write("places", place ? { ...all, [path()]: place } : all);
  },
};
