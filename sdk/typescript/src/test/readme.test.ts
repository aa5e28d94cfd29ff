/** The README's samples run as they stand there. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { folder } from "./folders.js";
import { PACKAGE } from "./places.js";
import { decision, scripted } from "./servers.js";
import { signed } from "./signed.js";

const samples = [...readFileSync(new URL("README.md", PACKAGE), "utf8").matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code ?? "");

test("the sample that ships an outbox prints each answer", async (t) => {
  const sample = samples.find((code) => code.includes("outbox.appendAll"));
  assert.ok(sample);
  const server = await scripted(t, ({ body }) => ({ status: 200, body: decision(body) }));
  const bodies = [1, 2].map((epoch) => Buffer.from(signed(epoch)).toString());
  const child = spawn(process.execPath, ["--input-type=module", "-e", sample, "sample", server.url, await folder(t), ...bodies], {
    cwd: fileURLToPath(PACKAGE),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [out, [code]] = await Promise.all([text(child.stdout), once(child, "close")]);
  assert.deepEqual(out.trim().split("\n").map((line) => line.trim()).sort(), ["1 200", "2 200", "answered 2 waiting 0 dead letters 0"]);
  assert.equal(code, 0);
});
