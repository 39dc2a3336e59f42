// An exercise in the page: its answer, the verdict of ml.check, and its solution when it is due.

import { packagesOf, Stopped } from "./kernel.js";
import { element } from "./outputs.js";
import { answers } from "./store.js";

const SOLUTION_AFTER = 2; // different wrong answers
const NUMBER = /^\s*[-+−]?(\d+[.,]?\d*|[.,]\d+)(e[-+]?\d+)?\s*$/i;
const NEEDED = [...packagesOf("import mixedlab"), "exercises"];

export class Exercise {
  constructor(root, cells, kernel) {
    this.root = root;
    this.id = root.dataset.exercise;
    this.cells = cells;
    this.kernel = kernel;
    this.own = cells.all.filter((cell) => root.contains(cell.root));
    const on = (name, event, action) => this.part(name)?.addEventListener(event, action);
    on("exercise-form", "submit", (event) => {
      event.preventDefault();
      this.check();
    });
    on("exercise-form", "input", () => this.keep({ draft: this.given }));
    on("solution", "click", () => this.showSolution());
    cells.listeners.add((cell, piece) => this.hear(cell, piece));
    addEventListener("mp-progress", () => this.show());
    this.given = answers.get(this.id).draft;
    this.show();
  }

  part(name) {
    return this.root.querySelector(`[data-ml="${name}"]`);
  }

  get options() {
    return [...this.root.querySelectorAll("input[type=radio]")];
  }

  /** The answer as it stands in the field, or the option that is chosen. */
  get given() {
    const { options } = this;
    if (options.length) return options.find((option) => option.checked)?.value ?? "";
    return this.part("answer").value ?? "";
  }

  set given(answer) {
    for (const option of this.options) option.checked = option.value === answer;
    if (!this.options.length) this.part("answer").value = answer;
  }

  keep(change) {
    answers.set(this.id, { ...answers.get(this.id), ...change });
  }

  // ---------------------------------------------------------------- checking

  async check() {
    const { given } = this;
    if (this.checking) return;
    if (!given.trim()) {
      this.say("", this.options.length ? "Choose an answer first." : "Write an answer first.");
      return;
    }
    await this.busy(async () => {
      if (!this.options.length && !NUMBER.test(given) && !(await this.runCells())) return;
      this.say("", this.kernel.live ? "Checking ..." : "Getting Python ready ...");
      const found = await this.kernel.ask("judge", [this.id, given], { packages: NEEDED });
      if (found.correct === null || found.correct === undefined) this.say("", found.says);
      else await this.record({ ...found, given });
    });
  }

  /** An answer by name needs what makes it: the cells of the exercise, and those above. */
  async runCells() {
    const last = this.own.at(-1);
    const stale = this.own.filter((cell) => !cell.isCurrent);
    if (!last || !stale.length) return true;
    this.say("", "Running the cells that make it ...");
    await this.cells.run(last);
    if (last.isCurrent) return true;
    this.say("", "A cell above ended in an error: mend it, then check again.");
    return false;
  }

  /** Keep a judged answer, and show the solution when enough different ones were wrong. */
  async record({ correct, says, answer, misconception, given }) {
    const { tries, solution } = answers.get(this.id);
    const again = !correct && tries.some((one) => one.answer === answer);
    const last = { answer, given, right: correct, mistake: misconception, says, late: solution !== "" };
    this.keep({ tries: again ? tries : [...tries, last], draft: given });
    this.show();
    if (again) this.say("wrong", `You have tried this one. ${says}`);
    const wrong = new Set(answers.get(this.id).tries.filter((one) => !one.right).map((one) => one.answer));
    if (!correct && wrong.size >= SOLUTION_AFTER) await this.fetchSolution();
  }

  /** A cell that calls ml.check itself counts too. */
  hear(cell, { data }) {
    const record = data?.["application/vnd.mixedlab.answer+json"];
    if (record?.exercise !== this.id || typeof record.correct !== "boolean") return;
    const mistake = record.wrong?.at(-1)?.misconception ?? "";
    const { correct, says, answer } = record;
    this.record({ correct, says: says.split(" Solution: ")[0], answer, misconception: mistake, given: answer });
  }

  // ---------------------------------------------------------------- the solution

  showSolution() {
    if (!this.checking) return this.busy(() => this.fetchSolution());
  }

  async fetchSolution() {
    if (!answers.get(this.id).solution) {
      const solution = await this.kernel.ask("solution", [this.id], { packages: NEEDED });
      this.keep({ solution });
    }
    this.opened = true;
    this.show();
  }

  async busy(action) {
    this.checking = true;
    const told = ({ text }) => this.say("", text);
    this.kernel.heard.add(told);
    this.part("check").setAttribute("aria-disabled", "true");
    try {
      await action();
    } catch (error) {
      this.say("", error instanceof Stopped ? "Stopped." : error.message);
    } finally {
      this.kernel.heard.delete(told);
      this.part("check").removeAttribute("aria-disabled");
      this.checking = false;
    }
  }

  // ---------------------------------------------------------------- showing

  show() {
    const { tries, solution } = answers.get(this.id);
    const state = answers.state(this.id);
    const last = tries.at(-1);
    this.root.dataset.state = state;
    if (!last) this.say("", "");
    else if (last.right) this.say("right", `✓ Right. ${last.says}`);
    else this.say("wrong", `✗ Not yet. ${last.says}`);
    const place = this.part("solution-text");
    const shown = solution && (state === "seen" || this.opened);
    place.replaceChildren();
    if (shown) {
      const counts = state === "seen" ? "Shown before it was solved: this exercise counts as seen." : "";
      place.append(element("strong", "", "Solution. "), solution, element("small", "", counts));
    }
    this.part("solution").hidden = Boolean(shown);
  }

  say(verdict, words) {
    const place = this.part("verdict");
    place.dataset.verdict = verdict;
    if (place.textContent !== words) place.textContent = words;
  }
}
