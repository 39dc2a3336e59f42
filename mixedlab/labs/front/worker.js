// Python in the reader's own browser: one worker answers all labs of a page.
//
// Runs as a shared worker, so that the next page of the book finds it alive, or as a worker of
// one page where the browser has no shared ones. A page says {open: packages} once and then
// {to, message} for each request of a lab; it gets {status} and {to, answer} back.

import { install } from "./archive.js";
import { ask, explain, forget, onProgress, startPython } from "./python.js";
import { ARCHIVES } from "./site.js";

// ---------------------------------------------------------------- what the readers are told

const waiting = new Set(); // ports of pages whose labs are not live yet
let latest = { phase: "download", text: "Getting Python ready ...", fraction: 0 };

function tell(phase, text, fraction) {
  latest = { phase, text, fraction };
  for (const port of waiting) port.postMessage({ status: latest });
}

onProgress((text, share) => tell("download", text, share));

// ---------------------------------------------------------------- Python

let python = null; // promise of Pyodide
const installed = new Set();

/** Have these packages installed; gives the function that answers a message. */
async function open(packages) {
  const missing = [...packages, "mixedlab"].filter((name) => !installed.has(name));
  const asked = missing.map(ask); // all at once, while Python starts
  python ??= startPython();
  const pyodide = await python;
  for (const [i, name] of missing.entries()) {
    install(pyodide, await asked[i]);
    installed.add(name);
    forget(name);
  }
  tell("start", "Starting Python ...", 1);
  return pyodide.runPython("from mixedlab.labs.kit.protocol import answer_json; answer_json");
}

let opened = Promise.resolve(null); // one page after the other

function openInTurn(packages) {
  const opening = opened.catch(() => null).then(() => open(packages));
  opened = opening;
  opening.catch(() => {}); // told to the page that asked
  return opening;
}

/** The package that an answer fails for, where one could still be had. */
function lacking(answer) {
  const name = /(?:No module named|The module) '(\w+)/.exec(answer)?.[1];
  return answer.includes('"kind": "error"') && name in ARCHIVES && !installed.has(name) && name;
}

// ---------------------------------------------------------------- the pages

async function bringToLife(port, packages) {
  waiting.add(port);
  port.postMessage({ status: latest });
  try {
    await openInTurn(packages);
    waiting.delete(port);
    port.postMessage({ status: { phase: "ready", text: "", fraction: 1 } });
  } catch (error) {
    waiting.delete(port);
    port.postMessage({ status: { phase: "failed", text: explain(error), fraction: 0 } });
    // A Python that did not start cannot be started again: the next try gets a new worker.
    python?.catch(() => self.close());
  }
}

async function answer(port, { to, message }) {
  const reply = await opened.catch(() => null);
  if (!reply) return; // the failure was told
  let text = reply(message);
  const name = lacking(text);
  if (name) text = (await openInTurn([name]))(message);
  port.postMessage({ to, answer: text });
}

function serve(port) {
  port.onmessage = ({ data }) => {
    if (data.open) bringToLife(port, data.open);
    else answer(port, data);
  };
}

if (typeof SharedWorkerGlobalScope === "function" && self instanceof SharedWorkerGlobalScope) {
  self.onconnect = ({ ports: [port] }) => serve(port);
} else {
  serve(self);
}
