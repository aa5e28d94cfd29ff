/** Bundle the page: `node example/browser/build.mjs FOLDER` writes what a browser loads into FOLDER. */

import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const folder = process.argv[2] ?? join(here, "../../dist/page");

mkdirSync(folder, { recursive: true });
for (const name of ["index.html", "page.css"]) copyFileSync(join(here, name), join(folder, name));
await build({
  entryPoints: [join(here, "page.js")],
  outfile: join(folder, "page.js"),
  bundle: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  minify: true,
  logLevel: "warning",
});
