// Words in the page: changed only where they differ, so that nothing is read out twice.

export function setText(el, text) {
  if (el && el.textContent !== text) el.textContent = text;
}

export const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);
