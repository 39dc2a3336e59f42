// What the theme would do in inline handlers, which the site's content policy does not allow.
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-print]")) window.print();
});
