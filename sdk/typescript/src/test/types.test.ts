/** The README's samples and the examples compile as a user of the package would compile them. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { folder } from "./folders.js";
import { PACKAGE } from "./places.js";

const HERE = fileURLToPath(PACKAGE);
const TSC = join(HERE, "node_modules/.bin/tsc");
/** What a program for Node needs that one for browsers does not. */
const NODE = ["build.mjs", "sign-and-ship.ts", "outbox.ts"];
const BROWSER = ["page.js", "sign-and-check.ts"];

/** Make a project that has the package as npm would install it, and return its folder. */
function project(path: string): string {
  const installed = join(path, "node_modules/fractal-lba");
  mkdirSync(join(path, "node_modules/@types"), { recursive: true });
  cpSync(join(HERE, "dist"), join(installed, "dist"), {
    recursive: true,
    filter: (name) => !/dist\/(test|driver|bench)(\/|$)/.test(name),
  });
  copyFileSync(join(HERE, "package.json"), join(installed, "package.json"));
  for (const other of ["@types/node", "undici-types", "esbuild"]) {
    symlinkSync(join(HERE, "node_modules", other), join(path, "node_modules", other));
  }
  writeFileSync(join(path, "package.json"), '{ "type": "module" }');
  for (const name of ["page.js", "build.mjs"]) copyFileSync(join(HERE, "example/browser", name), join(path, name));
  copyFileSync(join(HERE, "example/sign-and-check.mjs"), join(path, "sign-and-check.ts"));
  const readme = readFileSync(join(HERE, "README.md"), "utf8");
  const samples = [...readme.matchAll(/```(?:js|ts)\n(.*?)```/gs)].map(([, code]) => code ?? "");
  // The first is the example, as another test holds it to.
  assert.deepEqual(samples.map((code) => code.includes("Outbox.open")), [false, true, true]);
  writeFileSync(join(path, "sign-and-ship.ts"), samples[1] ?? "");
  writeFileSync(join(path, "outbox.ts"), samples[2] ?? "");
  writeFileSync(join(path, "wrong.ts"), 'import { signRecord } from "fractal-lba";\nsignRecord({}, "no key");\n');
  return path;
}

/** Return what the compiler says of these files. */
function said(path: string, files: readonly string[], flags: readonly string[]): string {
  const all = ["--strict", "--noEmit", "--pretty", "false", "--module", "nodenext", "--target", "es2022", "--allowJs", "--checkJs", "--skipDefaultLibCheck", ...flags];
  try {
    return execFileSync(process.execPath, [TSC, ...all, ...files], { cwd: path, encoding: "utf8" });
  } catch (error) {
    return String((error as { stdout?: string }).stdout);
  }
}

test("what the README and the examples show compiles strictly, in Node and for browsers", async (t) => {
  const path = project(await folder(t));
  assert.equal(said(path, [...NODE, ...BROWSER], ["--types", "node"]), "");
  // Without Node's types, which a page does not have; outbox/node is the only entry that names them.
  const found = said(path, [...BROWSER, "wrong.ts"], ["--lib", "es2023,dom,dom.iterable,dom.asynciterable", "--types", ""]);
  // All that is wrong is what is meant to be: the compiler did look.
  assert.match(found, /^wrong\.ts\(2,16\): error TS2345.*\n$/);
});
