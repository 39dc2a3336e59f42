// The reader's own Python: a worker that can be ended at any moment, and begun again.
//
// It takes {id, does, with: [...]} and answers with any number of {id, output} and one {id, value}
// or {id, failed}; {status} tells how far its start is. {prepare: packages} downloads ahead.

import { install } from "./archive.js";
import { ask, explain, forget, onProgress, startPython } from "./python.js";
import { ARCHIVES } from "./site.js";

const here = (path) => new URL(path, import.meta.url).href;
const tell = (text, fraction) => postMessage({ status: { text, fraction } });
onProgress(tell);

const ready = new Map(); // package -> its unpacked archive, until Python imports it
let current = null; // id of the request under way
let session = null; // promise of Python's Session

/** Have archives downloaded; Python installs each when it first imports from it. */
async function prepare(packages) {
  const wanted = packages.filter((name) => name in ARCHIVES && !ready.has(name));
  await Promise.all(wanted.map(async (name) => ready.set(name, await ask(name))));
}

/** Install a package now: Python is in the middle of importing it, and cannot wait. */
function load(pyodide, name) {
  const { file } = ARCHIVES[name];
  if (!ready.has(name)) {
    const request = new XMLHttpRequest();
    request.open("GET", here(file), false);
    request.responseType = "arraybuffer";
    request.send();
    const bytes = new Uint8Array(request.response);
    const site = pyodide.runPython("import site; site.getsitepackages()[0]");
    const format = bytes[0] === 0x1f ? "gztar" : "tar"; // a server may have unpacked it
    pyodide.unpackArchive(bytes, format, { extractDir: site });
  } else if (ready.get(name)) {
    install(pyodide, ready.get(name));
  }
  forget(name);
  ready.set(name, null);
}

async function start() {
  const source = fetch(here("session.py")).then((response) => response.text());
  const pyodide = await startPython();
  tell("Starting Python ...", 1);
  pyodide.setStdin({ error: true });
  pyodide.FS.writeFile("/session.py", await source);
  pyodide.runPython("import os, sys; sys.path.append('/'); os.environ['MPLBACKEND'] = 'module://mixedlab_page'");
  const module = pyodide.pyimport("session");
  const emit = (json) => postMessage({ id: current, output: JSON.parse(json) });
  return module.Session(emit, (name) => load(pyodide, name));
}

async function answer({ id, does, with: given, packages }) {
  try {
    session ??= start();
    await Promise.all([session, prepare(packages ?? [])]);
    const python = await session;
    current = id;
    const value = python[does](...given);
    postMessage({ id, value: value?.toJs ? value.toJs({ dict_converter: Object.fromEntries }) : value });
  } catch (error) {
    const started = session && (await session.then(() => true, () => false));
    const last = String(error?.message ?? error).trim().split("\n").at(-1);
    postMessage({ id, failed: started ? last : explain(error), broken: !started });
  }
}

let turn = Promise.resolve(); // one request after the other
onmessage = ({ data }) => {
  if (data.prepare) {
    prepare(data.prepare).catch(() => {}); // what is missing then is said when it is needed
  } else {
    turn = turn.then(() => answer(data));
  }
};
