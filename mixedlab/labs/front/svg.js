// Makes an SVG element with a class, inside a parent.

export function element(tag, className, parent) {
  const el = document.createElementNS("http://www.w3.org/2000/svg", tag);
  if (className) el.setAttribute("class", className);
  parent?.append(el);
  return el;
}
