/** The package: what is published, how large it is, and that its examples run. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";
import { PACKAGE } from "./places.js";

const BUNDLE_GZIP_BYTES_MAX = 40_000;
const CANONICAL_GZIP_BYTES_MAX = 2_000;

const folder = fileURLToPath(PACKAGE);
const manifest = JSON.parse(readFileSync(new URL("package.json", PACKAGE), "utf8"));

function text(path: string): string {
  return readFileSync(new URL(path, PACKAGE), "utf8");
}

/** Returns the bytes of a bundle for browsers of this source, minified and packed. */
function packed(source: string): number {
  const { outputFiles } = buildSync({
    stdin: { contents: source, resolveDir: folder, loader: "js" },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    write: false,
  });
  return gzipSync(outputFiles[0]?.contents ?? "", { level: 9 }).length;
}

test("all that a browser can import fits in 40 kB, packed, and one function in far less", () => {
  const entries = Object.entries(manifest.exports as { [entry: string]: { default: string } })
    .filter(([entry]) => entry !== "./outbox/node")
    .map(([, { default: path }]) => path)
    .filter((path) => existsSync(new URL(path, PACKAGE)));
  const whole = packed(
    entries.map((path, i) => `export * as all${i} from ${JSON.stringify(path)};`).join("\n"),
  );
  const canonical = packed('export { canonical } from "fractal-lba";');
  const hmac = packed('export { signHmac, signingInput } from "fractal-lba";');
  console.log(`bundle: ${entries.length} entries ${whole} B, canonical ${canonical} B, HMAC ${hmac} B`);
  assert.ok(whole <= BUNDLE_GZIP_BYTES_MAX, `${whole}`);
  assert.ok(canonical <= CANONICAL_GZIP_BYTES_MAX, `${canonical}`);
  assert.ok(hmac < whole / 3, `${hmac}`);
});

test("neither tests nor the driver are published, and every entry is", () => {
  const npm = ["pack", "--dry-run", "--json", "--loglevel=error"];
  const [pack] = JSON.parse(execFileSync("npm", npm, { cwd: folder, encoding: "utf8" }));
  const paths = pack.files.map((file: { path: string }) => file.path) as string[];
  assert.deepEqual(paths.filter((path) => /^dist\/(test|driver|bench)\//.test(path)), []);
  for (const path of ["README.md", "LICENSE", "dist/index.js", "dist/index.d.ts", "dist/platform/portable.js"]) {
    assert.ok(paths.includes(path), path);
  }
});

test("the only dependencies at run time are noble's, each pinned", () => {
  assert.deepEqual(Object.keys(manifest.dependencies), ["@noble/curves", "@noble/hashes"]);
  for (const version of Object.values({ ...manifest.dependencies, ...manifest.devDependencies })) {
    assert.match(version as string, /^\d+\.\d+\.\d+$/);
  }
  assert.ok(!text("package-lock.json").includes('"resolved"'));
});

test("the version is that of the project", () => {
  assert.ok(text("../../pyproject.toml").includes(`\nversion = "${manifest.version}"\n`));
});

test("the example of signing and checking runs, and stands in the README as it is", () => {
  const path = fileURLToPath(new URL("example/sign-and-check.mjs", PACKAGE));
  const printed = execFileSync(process.execPath, [path], { encoding: "utf8" });
  const source = readFileSync(path, "utf8");
  assert.ok(text("README.md").includes(source), "README.md");
  const expected = /^\/\/ prints: (.*)$/m.exec(source)?.[1];
  assert.equal(printed.trim(), expected);
});
