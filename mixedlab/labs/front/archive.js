// Archives of ready-to-import Python packages: unpacked straight into Pyodide's file system.

const BLOCK = 512;
const text = new TextDecoder();

/** Return the bytes of a gzip file; of anything else (a server may have unpacked it), itself. */
export async function gunzip(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Write the files of a USTAR archive below `root`. */
export function untar(FS, bytes, root) {
  const field = (start, length) => {
    const raw = bytes.subarray(start, start + length);
    const end = raw.indexOf(0);
    return text.decode(end < 0 ? raw : raw.subarray(0, end));
  };
  const made = new Set();
  for (let at = 0; at + BLOCK <= bytes.length && bytes[at] !== 0; ) {
    const [name, prefix] = [field(at, 100), field(at + 345, 155)];
    const size = parseInt(field(at + 124, 12), 8);
    const path = `${root}/${prefix ? `${prefix}/` : ""}${name}`;
    const folder = path.slice(0, path.lastIndexOf("/"));
    if (!made.has(folder)) {
      FS.mkdirTree(folder);
      made.add(folder);
    }
    FS.writeFile(path, bytes.subarray(at + BLOCK, at + BLOCK + size), { canOwn: true });
    at += BLOCK * (1 + Math.ceil(size / BLOCK));
  }
}

/** Unpack a tar archive into Python's site-packages. */
export function install(pyodide, bytes) {
  const site = pyodide.runPython("import site; site.getsitepackages()[0]");
  untar(pyodide.FS, bytes, site);
  pyodide.runPython("import importlib; importlib.invalidate_caches()");
}
