// Python for a worker: Pyodide and the packages' archives, downloaded from the site with progress.

import { gunzip } from "./archive.js";
import { ARCHIVES, CORE, ENGINE, LOCK_INFO } from "./site.js";

const STALLED_AFTER = 30_000; // ms without a byte
const here = (path) => new URL(path, import.meta.url).href;

/** Say in a sentence why Python could not be loaded. */
export function explain(error) {
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
let heard = () => {};

/** Call back with words and a share whenever more has come. */
export function onProgress(callback) {
  heard = callback;
}

function count(bytes) {
  progress.done += bytes;
  const megabytes = (n) => (n / 1e6).toFixed(1);
  const done = Math.min(progress.done, progress.total);
  const text = `Downloading Python: ${megabytes(done)} of ${megabytes(progress.total)} MB`;
  heard(text, done / progress.total);
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

/**
 * Fetch the program that Pyodide compiles, as the browser's own answer: only beside that, and not
 * beside a stream made here, does a browser keep what it compiled, which halves the next start.
 */
async function downloadProgram(path, size) {
  const kept = () => fetchAnything(here(path), { cache: "only-if-cached", mode: "same-origin" })
    .then((response) => (response.ok ? response : null), () => null);
  const found = await kept();
  if (found) return found;
  const first = await download(path, size);
  const bytes = await first.arrayBuffer();
  return (await kept()) ?? new Response(bytes, { headers: first.headers });
}

// ---------------------------------------------------------------- Python

const SMALLEST_MODULE = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);

const archives = new Map(); // package -> promise of its archive, unpacked

/**
 * Start Pyodide, whose own files come through `download`, so that they are counted too. Python is
 * not begun but taken up where the site's build left it, which is the greater part of the wait.
 */
export async function startPython() {
  await WebAssembly.compile(SMALLEST_MODULE); // where it may not run, Pyodide would wait for ever
  const ours = new Map(CORE.map(({ file, size }) => [here(ENGINE + file), [ENGINE + file, size]]));
  const failure = Promise.withResolvers();
  self.fetch = (input, options) => {
    const url = input.url ?? String(input);
    if (!ours.has(url)) return fetchAnything(input, options);
    const get = url.endsWith(".wasm") ? downloadProgram : download;
    const answer = get(...ours.get(url));
    answer.catch(failure.reject); // Pyodide itself would wait for ever
    return answer;
  };
  const started = ask("started");
  const { loadPyodide } = await import(here(`${ENGINE}pyodide.mjs`));
  // No package is listed in the lock: nothing is ever looked up elsewhere.
  const lockFileContents = { info: LOCK_INFO, packages: {} };
  const options = { indexURL: here(ENGINE), lockFileContents };
  const begin = (more) => Promise.race([loadPyodide({ ...options, ...more }), failure.promise]);
  // WebKit numbers a program's functions otherwise than where the memory was kept, and refuses it:
  // there Python begins at the beginning.
  const pyodide = await begin({ _loadSnapshot: started }).catch(() => begin({}));
  forget("started");
  pyodide.runPython("import random; random.seed()"); // chance was kept with the memory
  return pyodide;
}

/** Begin to download a package's archive, if it is not there or on its way. */
export function ask(name) {
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

/** Let an archive go once it is installed. */
export function forget(name) {
  archives.delete(name);
}
