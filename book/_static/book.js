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
