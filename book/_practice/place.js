// A page that is left and opened again stands where it was.

import { places } from "./store.js";

const marks = () => [...document.querySelectorAll(".bd-article :is(section, .mp-exercise)[id]")];

function leave() {
  const above = marks().filter((mark) => mark.getBoundingClientRect().top <= 1);
  const last = above.at(-1);
  const title = document.querySelector(".bd-article section");
  if (!last || last === title) places.set(null);
  else places.set({ id: last.id, below: Math.round(-last.getBoundingClientRect().top) });
}

/** Keep the reader's place when she leaves, and go back to it when she comes without another. */
export function keepPlace() {
  addEventListener("pagehide", leave);
  const [entry] = performance.getEntriesByType("navigation");
  if (location.hash || location.search || entry?.type !== "navigate") return; // the browser does it
  const { id, below } = places.get();
  const mark = id && document.getElementById(id);
  if (!mark) return;
  const settled = document.fonts?.ready ?? Promise.resolve();
  settled.then(() => {
    if (scrollY > 0) return; // she has moved already
    scrollTo({ top: mark.getBoundingClientRect().top + scrollY + below, behavior: "instant" });
  });
}
