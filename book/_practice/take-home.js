// "Take my work with me": the page's cells and answers as a notebook, which Jupyter opens and
// `python -m mixedlab report` reads.

import { saveFile } from "./save.js";
import { answers } from "./store.js";

const RECORD = "application/vnd.mixedlab.answer+json";

/** Return the notebook as an object; everything in it is text. */
export function notebookOf(title, cells, exercises) {
  const made = [markdown(`# ${title}\n\nMy work in the page.${howToInstall()}`)];
  let open = null; // the exercise whose own cells come now
  const close = () => {
    if (open) made.push(...answerTo(open));
    open = null;
  };
  for (const block of [...cells, ...exercises].sort(inOrderOfThePage)) {
    if (!open?.root.contains(block.root)) close();
    if (exercises.includes(block)) {
      open = block;
      made.push(markdown(question(block.root)));
    } else {
      made.push(code(block.code, block.outputs.pieces.map(outputOf)));
    }
  }
  close();
  return {
    cells: made.map((cell, i) => ({ id: `cell-${i + 1}`, ...cell })),
    metadata: { kernelspec: { display_name: "Python 3", language: "python", name: "python3" } },
    nbformat: 4,
    nbformat_minor: 5,
  };
}

/** The line that installs the package from this book, whose wheel the page names. */
function howToInstall() {
  const { wheel } = document.querySelector("[data-ml=take]")?.dataset ?? {};
  if (!wheel) return "";
  const root = new URL(document.documentElement.dataset.content_root || "./", location.href);
  const line = `%pip install ${new URL(wheel, root)}`;
  return `\n\nWithout the package on this machine, run \`${line}\` first: the book carries it.`;
}

function inOrderOfThePage({ root: one }, { root: other }) {
  return one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1;
}

/** The cell that checks an exercise's answer, with what was said of it. */
function answerTo({ id, root }) {
  const record = recordOf(id, root);
  const call = `import mixedlab as ml\n\nml.check(${JSON.stringify(id)}, ${record?.answer || "..."})`;
  if (!record) return [code(call, [])];
  const data = { "text/plain": `${id} ${record.title}: ${record.says}`, [RECORD]: record };
  return [code(call, [{ output_type: "display_data", metadata: {}, data }])];
}

function recordOf(id, root) {
  const { tries, solution } = answers.get(id);
  if (!tries.length && !solution) return null;
  const solved = tries.find((one) => one.right);
  const last = solved ?? tries.at(-1);
  return {
    exercise: id,
    title: root.querySelector("h3").textContent.replace(`${id} `, ""),
    correct: last ? last.right : null,
    says: last?.says ?? "",
    answer: last?.answer ?? "",
    wrong: tries.filter((one) => !one.right).map(({ answer, mistake }) => ({ answer, misconception: mistake })),
    attempts: tries.length,
    after_solution: answers.state(id) === "seen",
  };
}

const question = (root) => `## ${root.querySelector("h3").textContent}\n\n${root.querySelector(".mp-question").textContent.trim()}`;
const markdown = (source) => ({ cell_type: "markdown", metadata: {}, source });
const code = (source, outputs) => ({ cell_type: "code", execution_count: null, metadata: {}, outputs, source });

function outputOf(piece) {
  if (piece.kind === "text") return { output_type: "stream", name: piece.stream, text: piece.text };
  if (piece.kind === "error") {
    return { output_type: "error", ename: "Error", evalue: piece.says, traceback: [piece.trace || piece.says] };
  }
  const { width: _, ...data } = piece.data;
  return { output_type: "display_data", metadata: {}, data };
}

/** Save it as a file named after the page. */
export function save(notebook, name) {
  const blob = new Blob([JSON.stringify(notebook, null, 1)], { type: "application/x-ipynb+json" });
  saveFile(blob, `${name}.ipynb`);
}
