// How far the reader is: at a chapter's head and beside its link in the sidebar.

import { element } from "./outputs.js";
import { CHAPTERS } from "./site.js";
import { answers } from "./store.js";

const SITE = new URL("../../", import.meta.url).href;

const count = (exercises, state) => exercises.filter((one) => answers.state(one) === state).length;

/** The chapter that an address of this site is, if it has exercises. */
function chapterAt(address) {
  const page = address.split(/[?#]/)[0];
  const name = page.startsWith(SITE) ? page.slice(SITE.length).replace(/\.html$/, "") : "";
  return Object.hasOwn(CHAPTERS, name) ? CHAPTERS[name] : null;
}

function showInSidebar() {
  for (const link of document.querySelectorAll(".bd-sidebar-primary nav a[href]")) {
    const exercises = chapterAt(link.href);
    if (!exercises) continue;
    const solved = count(exercises, "solved");
    const begun = exercises.some((one) => answers.state(one));
    let mark = link.querySelector(".mp-sidebar-progress");
    if (!begun) {
      mark?.remove();
      continue;
    }
    mark ??= link.appendChild(element("span", "mp-sidebar-progress"));
    mark.textContent = `${solved}/${exercises.length}`;
    mark.title = `${solved} of ${exercises.length} exercises solved`;
  }
}

function showAtHead(head, exercises) {
  const [solved, seen, tried] = ["solved", "seen", "tried"].map((state) => count(exercises, state));
  const parts = [`${solved} of ${exercises.length} solved`];
  if (seen) parts.push(`${seen} seen`);
  if (tried) parts.push(`${tried} begun`);
  head.querySelector("[data-ml=progress-text]").textContent = `${parts.join(", ")}.`;
  for (const name of ["clear", "take"]) {
    head.querySelector(`[data-ml=${name}]`).disabled = !(solved || seen || tried);
  }
}

/** Show progress now and whenever it changes; `take` saves the reader's work. */
export function showProgress(take) {
  const head = document.querySelector("[data-ml=practice-progress]");
  const own = chapterAt(location.href);
  const show = () => {
    showInSidebar();
    if (head && own) showAtHead(head, own);
  };
  head?.querySelector("[data-ml=clear]").addEventListener("click", () => {
    if (confirm("Forget your answers to the exercises of this chapter, on this device?")) answers.clear(own);
  });
  head?.querySelector("[data-ml=take]").addEventListener("click", take);
  addEventListener("mp-progress", show);
  addEventListener("storage", show); // another tab
  show();
}
