// Python in the reader's own browser: one worker answers all labs of a page.
//
// Runs as a shared worker, so that the next page of the book finds it alive, or as a worker of
// one page where the browser has no shared ones. A page says {open: packages} once and then
// {to, message} for each request of a lab; it gets {status} and {to, answer} back.

import { install } from "./archive.js";
import { ARCHIVES, ENGINE, LOCK_INFO } from "./site.js";

const here = (path) => new URL(path, import.meta.url).href;
const STALLED_AFTER = 30_000; // ms without a byte

let latest = { phase: "download", text: "Getting ready ...", fraction: 0 };

function tell(phase, text, fraction) {
  latest = { phase, text, fraction };
  for (const port of ports) port.postMessage({ status: latest });
}

// ---------------------------------------------------------------- downloads, with progress

const progress = { done: 0, total: 0, since: 0 };

function told(bytes) {
  progress.done += bytes;
  progress.since = Date.now();
  const megabytes = (n) => (n / 1e6).toFixed(1);
  const done = Math.min(progress.done, progress.total);
  tell(
    "download",
    `Downloading Python for the labs: ${megabytes(done)} of ${megabytes(progress.total)} MB`,
    progress.total ? done / progress.total : 0,
  );
}

async function download(url, size) {
  progress.total += size;
  const stop = new AbortController();
  progress.since = Date.now();
  const watch = setInterval(() => {
    if (Date.now() - progress.since > STALLED_AFTER) {
      stop.abort(new Error("The download has stalled. Is the connection gone?"));
    }
  }, 1000);
  try {
    const response = await fetch(url, { signal: stop.signal });
    if (!response.ok) throw new Error(`${url} answered ${response.status}.`);
    const parts = [];
    let length = 0;
    for (let reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      length += value.length;
      told(value.length);
    }
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  } finally {
    clearInterval(watch);
  }
}

// ---------------------------------------------------------------- Python

const ports = new Set();
const downloads = new Map(); // package -> promise of its archive
const installed = new Set();
let pyodide = null; // promise
let opened = Promise.resolve(null); // promise of the function that answers a message

function startPython() {
  pyodide ??= import(here(`${ENGINE}pyodide.mjs`))
    .then(({ loadPyodide }) =>
      // No package is listed in the lock: nothing is ever looked up elsewhere.
      loadPyodide({ indexURL: here(ENGINE), lockFileContents: { info: LOCK_INFO, packages: {} } }),
    )
    .catch((error) => {
      pyodide = null;
      throw error;
    });
  return pyodide;
}

/** Begin to download a package's archive, if it is not there or on its way. */
function ask(name) {
  if (!downloads.has(name)) {
    const { file, size } = ARCHIVES[name];
    const archive = download(here(file), size);
    archive.catch(() => downloads.delete(name)); // a second try asks again
    downloads.set(name, archive);
  }
}

/** Have these packages installed; the promise is of the function that answers a message. */
async function open(packages) {
  const wanted = [...packages, "mixedlab"];
  wanted.forEach(ask);
  const python = await startPython();
  for (const name of wanted.filter((one) => !installed.has(one))) {
    await install(python, await downloads.get(name));
    installed.add(name);
  }
  tell("start", "Starting Python ...", 1);
  return python.runPython("from mixedlab.labs.serve import answer_json; answer_json");
}

function openInTurn(packages) {
  opened = opened
    .catch(() => null)
    .then(() => open(packages))
    .then(
      (answer) => {
        tell("ready", "", 1);
        return answer;
      },
      (error) => {
        tell("failed", explain(error), 0);
        throw error;
      },
    );
  opened.catch(() => {}); // told to the reader
  return opened;
}

function explain(error) {
  const text = String(error?.message ?? error);
  if (/WebAssembly|wasm-unsafe-eval/i.test(text)) {
    return `This page may not run WebAssembly here, which Python needs. (${text})`;
  }
  return `Python could not be loaded. ${text}`;
}

/** The package that an answer fails for, where one could still be had. */
function lacking(answer) {
  const name = /(?:No module named|The module) '(\w+)/.exec(answer)?.[1];
  return answer.includes('"kind": "error"') && name in ARCHIVES && !installed.has(name) && name;
}

function serve(port) {
  ports.add(port);
  port.onmessage = async ({ data }) => {
    if (data.close) {
      ports.delete(port);
    } else if (data.open) {
      port.postMessage({ status: latest });
      openInTurn(data.open);
    } else {
      const answer = await opened.catch(() => null);
      if (!answer) return; // the failure was told
      let text = answer(data.message);
      const name = lacking(text);
      if (name) text = (await openInTurn([name]))(data.message);
      port.postMessage({ to: data.to, answer: text });
    }
  };
}

if (typeof SharedWorkerGlobalScope === "function" && self instanceof SharedWorkerGlobalScope) {
  self.onconnect = ({ ports: [port] }) => serve(port);
} else {
  serve(self);
}
