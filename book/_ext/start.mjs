// Keep what Python's memory holds once it has started, so that no visit starts it anew.
//
//   node start.mjs PYODIDE_FOLDER OUT.gz
//
// The memory fits this very build of Pyodide, which refuses any other.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

// What every lab imports of the standard library; nothing that holds the time or chance.
const MODULES = "ast, contextlib, dataclasses, difflib, functools, importlib.resources, inspect, json, math, numbers, re, typing, warnings";

const [folder, out] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(path.join(folder, "pyodide.mjs")));
const pyodide = await loadPyodide({ indexURL: folder, _makeSnapshot: true });
pyodide.runPython(`import ${MODULES}\nimport gc; gc.collect()`);
fs.writeFileSync(out, gzipSync(pyodide.makeMemorySnapshot(), { level: 9 }));
