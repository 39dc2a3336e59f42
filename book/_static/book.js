// Runs in the page's head. The theme's own script chooses light or dark only when the page has
// been painted; chosen here, nothing flashes and nothing moves.
{
  const { dataset } = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  dataset.mode ||= "auto";
  if (!["dark", "light"].includes(dataset.theme)) dataset.theme = dark ? "dark" : "light";
}

// What the theme would do in inline handlers, which the site's content policy does not allow.
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-print]")) window.print();
});

// What is too wide scrolls in its own box; then the keyboard must reach it.
addEventListener("load", () => {
  const watch = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const box of document.querySelectorAll(".bd-article :is(div.math, .cell_output)")) {
    watch.observe(box);
  }
});
