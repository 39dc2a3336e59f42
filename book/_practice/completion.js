// What an editor offers while one writes: mixedlab's public names after `ml.`, columns of the
// page's tables inside a string, and what Python holds by now.

import { NAMES } from "./site.js";

const DATA_SET = /\bload\(\s*["'](\w+)["']/g;
const OWNER = /([A-Za-z_][\w.]*)\.\w*$/;

/** Return a completion source for CodeMirror. `page` holds the code of all cells. */
export function completionSource(kernel, page) {
  const ask = (does, given) => (kernel.live && !page.busy ? kernel.ask(does, given).catch(() => []) : []);

  async function columns() {
    const named = [...page.code.matchAll(DATA_SET)].flatMap(([, name]) => NAMES.columns[name] ?? []);
    return [...new Set([...named, ...(await ask("columns", []))])];
  }

  async function attributes(owner) {
    const known = NAMES.attributes[owner.replace(/^mixedlab\b/, "ml")];
    return known ?? new Set([...(await ask("complete", [owner])), ...NAMES.attributes.fit]);
  }

  return async (context) => {
    const word = context.matchBefore(/\w*/);
    const line = context.state.doc.lineAt(context.pos);
    const before = line.text.slice(0, context.pos - line.from);
    const owner = OWNER.exec(before)?.[1];
    const offered = (names, type) => ({
      from: word.from,
      options: [...names].map((label) => ({ label, type })),
      validFor: /^\w*$/,
    });
    if (insideString(before)) {
      if (word.from === word.to && !context.explicit) return null;
      return offered(await columns(), "property");
    }
    if (owner) return offered(await attributes(owner), "property");
    if (word.from === word.to && !context.explicit) return null;
    return offered(await ask("complete", [""]), "variable");
  };
}

/** Whether a line is inside a string at its end. */
function insideString(line) {
  let quote = "";
  for (const sign of line) {
    if (quote) quote = sign === quote ? "" : quote;
    else if (sign === "#") return false;
    else if (sign === '"' || sign === "'") quote = sign;
  }
  return quote !== "";
}
