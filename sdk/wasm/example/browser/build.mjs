/**
 * Lay the page out: `node example/browser/build.mjs FOLDER`. The module and its loader are copied as they are
 * published; only TypeScript's outbox and client go through a bundler, for the packages they are made of.
 */

import { cpSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const wasm = join(here, "../..");
const typescript = join(wasm, "../typescript");
const folder = process.argv[2] ?? join(wasm, "dist/page");
const { build } = createRequire(join(typescript, "package.json"))("esbuild");

mkdirSync(folder, { recursive: true });
for (const name of ["index.html", "page.js"]) cpSync(join(here, name), join(folder, name));
cpSync(join(typescript, "example/browser/page.css"), join(folder, "page.css"));
for (const name of ["index.js", "dist/fractal_lba.wasm"]) cpSync(join(wasm, name), join(folder, "wasm", name));
await build({
  stdin: {
    contents: 'export { Client } from "fractal-lba/client"; export { Outbox } from "fractal-lba/outbox/browser";',
    resolveDir: typescript,
  },
  outfile: join(folder, "outbox.js"),
  bundle: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  minify: true,
  logLevel: "warning",
});
