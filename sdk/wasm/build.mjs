/**
 * Puts the module that cargo built where the loader looks for it, without the sections that only name
 * things, and writes how large it is.
 */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const BUILT = new URL(
  "../rust/target/wasm32-unknown-unknown/wasm/fractal_lba_wasm.wasm",
  import.meta.url,
);
const DIST = new URL("dist/", import.meta.url);
const HEADER_BYTES = 8;
const CUSTOM = 0;

/** Returns the module without its custom sections (WebAssembly core specification, section 5.5). */
function withoutNames(module) {
  const kept = [module.subarray(0, HEADER_BYTES)];
  let at = HEADER_BYTES;
  while (at < module.length) {
    const start = at;
    const kind = module[at++];
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = module[at++];
      size += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    at += size;
    if (kind !== CUSTOM) kept.push(module.subarray(start, at));
  }
  return Buffer.concat(kept);
}

const module = withoutNames(await readFile(BUILT));
await mkdir(DIST, { recursive: true });
await writeFile(new URL("fractal_lba.wasm", DIST), module);
console.log(`wasm: ${module.length} bytes, ${gzipSync(module, { level: 9 }).length} of gzip`);
