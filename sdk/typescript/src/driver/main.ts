/**
 * The driver: how the suite talks to this SDK. It is no part of what is published.
 *
 * One JSON object a line in, one a line out, in order; `sdk/driver.md` is its contract.
 */

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { answers } from "./answers.js";
import { clientOps } from "./client.js";
import { coreOps } from "./core.js";
import type { Ops, Request } from "./ops.js";

const { version } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
) as { version: string };

const ops: Ops = { hello, ...coreOps, ...clientOps };

function hello(): object {
  return {
    sdk: "typescript",
    version,
    files: Object.keys(answers).sort(),
    ops: Object.keys(ops).sort(),
  };
}

async function answered(line: string): Promise<object> {
  try {
    const request = JSON.parse(line) as Request;
    const name = String(request["op"]);
    const op = Object.hasOwn(ops, name) ? ops[name] : undefined;
    return op === undefined ? { unknown: name } : await op(request);
  } catch (error) {
    return { crash: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  process.stdout.write(`${JSON.stringify(await answered(line))}\n`);
}
