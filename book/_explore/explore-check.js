// What stands in the table, before anything is fitted: a line, and a list to open. Every text of the
// table is set as text and never as HTML.

import { setText } from "./text.js";

const READABLE = { other: "neither numbers nor labels" };

/** Show the check of a table; `page` has part(), all(), open() and set(). */
export function showCheck(page, told) {
  const known = Boolean(told.columns);
  page.part("check").hidden = !known && !told.reading;
  setText(page.part("table-line"), lineOf(told));
  const mends = told.mends ?? [];
  const count = mends.length === 1 ? "1 thing to mend" : `${mends.length} things to mend`;
  setText(page.part("check-line"), `${told.n_columns ?? 0} columns${mends.length ? `, ${count}` : ""}`);
  page.part("check-box").open = mends.length > 0 || Boolean(told.refused && known);
  page.part("reading-row").hidden = !told.reading;
  for (const menu of page.all("reading")) if (told.reading) menu.value = told.reading[menu.dataset.setting];
  page.part("columns").replaceChildren(...(told.columns ?? []).map((column) => rowOf(page, column, told)));
  page.part("pairs").replaceChildren(...(told.pairs ?? []).map((pair) => pairOf(page, pair)));
  page.part("unmend").hidden = !told.mended?.length;
}

/** The table in a line: its name, its size, how it was read, what was mended. */
function lineOf({ name, rows, n_columns: n, reading, mended }) {
  const parts = [];
  if (rows !== undefined) parts.push(`${rows} rows, ${n} columns`);
  if (reading) parts.push(reading.words);
  if (mended?.length) parts.push(`mended: ${mended.length}`);
  return parts.length ? `${name}: ${parts.join("; ")}` : name;
}

function rowOf(page, column, { mends }) {
  const row = document.createElement("tr");
  const { name, kind, n, n_values: values, n_missing: missing } = column;
  const lost = missing ? `${missing} of ${n}` : "none";
  const cells = [name, READABLE[kind] ?? kind, String(values), lost].map((text, i) => {
    const cell = document.createElement(i ? "td" : "th");
    if (!i) cell.scope = "row";
    cell.textContent = text;
    return cell;
  });
  const last = document.createElement("td");
  mends.forEach((mend, number) => {
    if (mend.column !== name) return;
    const button = buttonOf(mend.label, () => page.open("mend", number));
    button.dataset.ml = "mend";
    last.append(button);
  });
  row.append(...cells, last);
  return row;
}

function pairOf(page, { outer, inner, nested, group }) {
  const item = document.createElement("li");
  const words = nested ? `${inner} is nested in ${outer}. ` : `${outer} and ${inner} cross. `;
  item.append(words);
  if (group) item.append(buttonOf(`Group by ${group}`, () => page.set("group", group)));
  return item;
}

function buttonOf(label, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "mx-button";
  button.textContent = label;
  button.addEventListener("click", act);
  return button;
}
