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

// Opened as a file: a browser starts no module and no worker then, so no lab can come to life.
if (location.protocol === "file:") {
  addEventListener("DOMContentLoaded", () => {
    for (const lab of document.querySelectorAll("[data-ml=lab]")) {
      lab.dataset.phase = "failed";
      lab.querySelector("[data-ml=status-text]").textContent =
        "This page was opened as a file, and from files a browser starts no Python. " +
        "In the folder of this book, double-click start-windows, start-macos or start-linux.";
    }
  });
}

// The book carries the package. Where the book stands is known here only: in the line that installs
// it, and in a notebook when it is saved.
addEventListener("DOMContentLoaded", () => {
  const root = new URL(document.documentElement.dataset.content_root || "./", location.href);
  const here = (text) => text.replaceAll("https://ADDRESS-OF-THE-BOOK", root.href.replace(/\/$/, ""));
  for (const line of document.querySelectorAll("[data-ml=install]")) {
    line.textContent = here(line.textContent);
  }
  for (const link of document.querySelectorAll("a[data-ml=notebook]")) {
    link.addEventListener("click", async (event) => {
      if (location.protocol === "file:") return; // saved as it is
      event.preventDefault();
      const notebook = here(await (await fetch(link.href)).text());
      const saved = document.createElement("a");
      saved.href = URL.createObjectURL(new Blob([notebook], { type: "application/x-ipynb+json" }));
      saved.download = link.href.split("/").at(-1);
      saved.click();
      setTimeout(() => URL.revokeObjectURL(saved.href), 10_000);
    });
  }
});
