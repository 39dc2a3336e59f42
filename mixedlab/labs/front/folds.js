// Boxes that open over the picture: at most one at a time; Escape or a press elsewhere closes it.

export function bindFolds(root, signal) {
  const folds = [...root.querySelectorAll(".ml-fold")];
  for (const fold of folds) {
    fold.addEventListener("toggle", () => {
      if (fold.open) for (const other of folds) if (other !== fold) other.open = false;
    }, { signal });
  }
  document.addEventListener("pointerdown", ({ target }) => {
    // A control in an open box moves the picture: pressing the picture itself leaves it open.
    for (const fold of folds) if (fold.open && !fold.contains(target) && !root.querySelector(".ml-panels").contains(target)) fold.open = false;
  }, { signal });
  root.addEventListener("keydown", (event) => {
    const fold = folds.find(({ open }) => open);
    if (event.key !== "Escape" || !fold) return;
    event.stopPropagation();
    fold.open = false;
    fold.querySelector("summary").focus({ preventScroll: true });
  }, { signal });
}
