// The page's side of the reader's Python: starts its worker at the first request, ends it on Stop.

/** Packages that code imports, so that they can be on their way while Python starts. */
export function packagesOf(code) {
  const wanted = [];
  if (/\b(mixedlab|ml)\b/.test(code)) wanted.push("mixedlab", "numpy", "scipy", "pandas", "formulaic");
  else if (/\bpandas\b/.test(code)) wanted.push("numpy", "pandas");
  else if (/\bnumpy\b/.test(code)) wanted.push("numpy");
  if (/\bmatplotlib\b|\bpictures\b/.test(code)) wanted.push("numpy", "pandas", "matplotlib");
  return [...new Set(wanted)];
}

export class Kernel {
  /** `program` is the worker's file. */
  constructor(program = "session-worker.js") {
    this.program = program;
    this.worker = null;
    this.requests = new Map(); // id -> {output, done, failed}
    this.sent = 0;
    this.heard = new Set(); // called with {text, fraction} while Python starts
  }

  get live() {
    return this.worker !== null;
  }

  /** Ask the session for something; `output` is called with each piece that a cell puts out. */
  ask(does, given, { packages = [], output = () => {} } = {}) {
    this.worker ??= this.start();
    this.sent += 1;
    const id = this.sent;
    const answer = Promise.withResolvers();
    this.requests.set(id, { output, ...answer });
    this.worker.postMessage({ id, does, with: given, packages });
    return answer.promise;
  }

  /** Download ahead what later cells will import. */
  prepare(packages) {
    this.worker?.postMessage({ prepare: packages });
  }

  start() {
    const worker = new Worker(new URL(this.program, import.meta.url), { type: "module" });
    worker.onmessage = ({ data }) => worker === this.worker && this.receive(data);
    worker.onerror = (event) => {
      event.preventDefault();
      if (worker === this.worker) this.end(new Error("The program that runs Python could not be started."));
    };
    return worker;
  }

  receive({ status, id, output, value, failed, broken }) {
    if (status) {
      for (const heard of this.heard) heard(status);
      return;
    }
    const request = this.requests.get(id);
    if (!request) return;
    if (output) {
      request.output(output);
    } else {
      this.requests.delete(id);
      if (failed === undefined) request.resolve(value);
      else request.reject(new Error(failed));
      if (broken) this.end(new Error(failed)); // the next request tries a new worker
    }
  }

  /** End whatever runs, at once; what was defined is gone, and Python gets ready again. */
  stop() {
    this.end(new Stopped());
    this.worker = this.start();
    this.worker.postMessage({ id: 0, does: "columns", with: [] });
  }

  end(reason) {
    this.worker?.terminate();
    this.worker = null;
    for (const { reject } of this.requests.values()) reject(reason);
    this.requests.clear();
    this.ended?.();
  }
}

/** What a request is rejected with when the reader pressed Stop. */
export class Stopped extends Error {}
