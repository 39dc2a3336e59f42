// A page of the book where one practises: its cells run, its exercises are checked, and what the
// reader did stays on this device. Python and the editor are loaded when they are first asked for.

import { keepPlace } from "./place.js";
import { showProgress } from "./progress.js";

if (document.readyState === "loading") {
  await new Promise((resolve) => addEventListener("DOMContentLoaded", resolve));
}

let take = () => {};
if (document.querySelector("[data-ml=code], [data-ml=exercise]")) {
  const [{ Kernel }, { Cells }, { Exercise }, { notebookOf, save }] = await Promise.all([
    import("./kernel.js"), import("./cells.js"), import("./exercise.js"), import("./take-home.js"),
  ]);
  const kernel = new Kernel();
  const cells = new Cells(kernel);
  const roots = [...document.querySelectorAll("[data-ml=exercise]")];
  const exercises = roots.map((root) => new Exercise(root, cells, kernel));
  const title = document.querySelector(".bd-article h1").firstChild.textContent.trim();
  const name = `mixedlab-${title.toLowerCase().replace(/\W+/g, "-")}`;
  take = () => save(notebookOf(title, cells.all, exercises), name);
}
showProgress(take);
keepPlace();
document.documentElement.dataset.practice = "ready";
