// Python in the reader's own browser: one worker answers all labs of a page.
//
// Runs as a shared worker, so that the next page of the book finds it alive, or as a worker of
// one page where the browser has no shared ones. A page says {open: packages} once and then
// {to, message} for each request of a lab; it gets {status} and {to, answer} back.

import { gunzip, install } from "./archive.js";
import { ARCHIVES, CORE, ENGINE, LOCK_INFO } from "./site.js";

const STALLED_AFTER = 30_000; // ms without a byte
const here = (path) => new URL(path, import.meta.url).href;

// ---------------------------------------------------------------- what the readers are told

const waiting = new Set(); // ports of pages whose labs are not live yet
let latest = { phase: "download", text: "Getting Python ready ...", fraction: 0 };

function tell(phase, text, fraction) {
  latest = { phase, text, fraction };
  for (const port of waiting) port.postMessage({ status: latest });
}

function explain(error) {
  // Of Python's errors, the last line: the rest is for programmers, in the console.
  const text = String(error?.message ?? error).trim().split("\n").at(-1);
  console.warn(error);
  if (/WebAssembly|wasm-unsafe-eval/i.test(text)) {
    return "This page may not run WebAssembly here, and Python needs it.";
  }
  return `Python could not be loaded. ${text}`;
}

// ---------------------------------------------------------------- downloads, with progress

const fetchAnything = self.fetch;
const progress = { done: 0, total: 0 };

function count(bytes) {
  progress.done += bytes;
  const megabytes = (n) => (n / 1e6).toFixed(1);
  const done = Math.min(progress.done, progress.total);
  const text = `Downloading Python: ${megabytes(done)} of ${megabytes(progress.total)} MB`;
  tell("download", text, done / progress.total);
}

/** Fetch a file of the site, counting its bytes; rejects with what the reader should know. */
async function download(path, size) {
  const name = path.split("/").at(-1);
  progress.total += size;
  const stop = new AbortController();
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stop.abort(new Error(`${name} has stalled.`)), STALLED_AFTER);
  };
  alive();
  const response = await fetchAnything(here(path), { signal: stop.signal }).catch((error) => {
    throw new Error(`${name} cannot be reached. Is the connection gone? (${error.message})`);
  });
  if (!response.ok) throw new Error(`${name} is missing from the site (${response.status}).`);
  const counter = new TransformStream({
    transform(piece, out) {
      alive();
      count(piece.length);
      out.enqueue(piece);
    },
    flush: () => clearTimeout(timer),
  });
  return new Response(response.body.pipeThrough(counter), { headers: response.headers });
}

// ---------------------------------------------------------------- Python

const SMALLEST_MODULE = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);

let python = null; // promise of Pyodide
const archives = new Map(); // package -> promise of its archive
const installed = new Set();

/** Start Pyodide, whose own files come through `download`, so that they are counted too. */
async function startPython() {
  await WebAssembly.compile(SMALLEST_MODULE); // where it may not run, Pyodide would wait for ever
  const ours = new Map(CORE.map(({ file, size }) => [here(ENGINE + file), size]));
  const failure = Promise.withResolvers();
  self.fetch = (input, options) => {
    const url = input.url ?? String(input);
    if (!ours.has(url)) return fetchAnything(input, options);
    const answer = download(url, ours.get(url));
    answer.catch(failure.reject); // Pyodide itself would wait for ever
    return answer;
  };
  const { loadPyodide } = await import(here(`${ENGINE}pyodide.mjs`));
  // No package is listed in the lock: nothing is ever looked up elsewhere.
  const lockFileContents = { info: LOCK_INFO, packages: {} };
  return Promise.race([loadPyodide({ indexURL: here(ENGINE), lockFileContents }), failure.promise]);
}

/** Begin to download a package's archive, if it is not there or on its way. */
function ask(name) {
  if (!archives.has(name)) {
    const { file, size } = ARCHIVES[name];
    // The browser decompresses on a thread of its own, while Python starts on this one.
    const archive = download(file, size)
      .then((response) => response.arrayBuffer())
      .then((bytes) => gunzip(new Uint8Array(bytes)));
    archive.catch(() => archives.delete(name)); // a second try asks again
    archives.set(name, archive);
  }
  return archives.get(name);
}

/** Have these packages installed; gives the function that answers a message. */
async function open(packages) {
  const missing = [...packages, "mixedlab"].filter((name) => !installed.has(name));
  const asked = missing.map(ask); // all at once, while Python starts
  python ??= startPython();
  const pyodide = await python;
  for (const [i, name] of missing.entries()) {
    install(pyodide, await asked[i]);
    installed.add(name);
    archives.delete(name);
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
