// HTML that code put out, made again from a short list of elements: tables, lists and plain prose.
// Whatever else it holds, scripts, styles, links, forms, is left out or kept as text.

const KEPT = new Set(
  ("TABLE THEAD TBODY TFOOT TR TH TD CAPTION DIV SPAN P B STRONG I EM U S CODE PRE BR HR SUB SUP " +
    "UL OL LI DL DT DD H1 H2 H3 H4 H5 H6 SMALL").split(" "),
);
const DROPPED = new Set("SCRIPT STYLE TEMPLATE NOSCRIPT IFRAME OBJECT EMBED HEAD TITLE".split(" "));
const NUMBERS = ["colspan", "rowspan"];
const DEEPEST = 60;

/** Return a fragment with what is harmless of `html`. */
export function sanitised(html) {
  const source = document.createElement("template"); // what it holds neither runs nor loads
  source.innerHTML = html;
  const made = document.createDocumentFragment();
  copyChildren(source.content, made, 0);
  return made;
}

function copyChildren(from, to, depth) {
  if (depth > DEEPEST) return;
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) {
      to.append(node.data);
    } else if (node.nodeType === Node.ELEMENT_NODE && !DROPPED.has(node.tagName)) {
      const into = KEPT.has(node.tagName) ? to.appendChild(harmless(node)) : to;
      copyChildren(node, into, depth + 1);
    }
  }
}

function harmless(node) {
  const made = document.createElement(node.tagName);
  for (const name of NUMBERS) {
    const count = Number(node.getAttribute(name));
    if (Number.isInteger(count) && count > 1 && count <= 1000) made.setAttribute(name, count);
  }
  if (node.tagName === "TABLE") made.className = "dataframe";
  if (node.tagName === "TH") made.scope = node.closest("thead") ? "col" : "row";
  return made;
}
