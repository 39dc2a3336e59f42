// Python for the explorer: a worker of this page alone, so that a table is gone with the page.
//
// It takes {id, does, with: [...]}, one request after the other, and answers {id, value} or
// {id, failed}; {status} tells how far its start is. After that start it fetches nothing.

import { install } from "./archive.js";
import { ask, explain, forget, onProgress, startPython } from "./python.js";

const PACKAGES = ["numpy", "scipy", "pandas", "formulaic", "mixedlab"];
const tell = (text, fraction) => postMessage({ status: { text, fraction } });
onProgress(tell);

// The style sheet that pictures carry along; labs of other pages never need it in Python.
const STYLE = "import mixedlab.labs as labs, os; os.path.join(os.path.dirname(labs.__file__), 'front')";
// Import and fit once, for nobody: the first table is then as quick as the second.
const PREPARE = `
from mixedlab.labs.explorer.page import Page
page = Page()
page.shipped("sleepstudy")
page.leave("{}")
page = Page()
page
`;

let page = null; // promise of Python's Page

async function start() {
  const style = fetch(new URL("lab.css", import.meta.url)).then((response) => response.text());
  const asked = PACKAGES.map(ask); // all at once, while Python starts
  const pyodide = await startPython();
  for (const [i, name] of PACKAGES.entries()) {
    install(pyodide, await asked[i]);
    forget(name);
  }
  const folder = pyodide.runPython(STYLE);
  pyodide.FS.mkdirTree(folder);
  pyodide.FS.writeFile(`${folder}/lab.css`, await style);
  tell("Starting Python ...", 1);
  return pyodide.runPython(PREPARE);
}

async function answer({ id, does, with: given }) {
  try {
    page ??= start();
    const python = await page;
    postMessage({ id, value: does === "begin" ? null : python[does](...given) });
  } catch (error) {
    const started = page && (await page.then(() => true, () => false));
    const last = String(error?.message ?? error).trim().split("\n").at(-1);
    postMessage({ id, failed: started ? last : explain(error), broken: !started });
  }
}

let turn = Promise.resolve();
onmessage = ({ data }) => {
  turn = turn.then(() => answer(data));
};
