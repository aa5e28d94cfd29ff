/** Folders of outboxes: made for one test, copied as a crash leaves them, gone behind it. */

import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

import { Outbox } from "../outbox/node.js";

/** Return a folder that is removed when the test ends. */
export async function folder(test: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "flba-outbox-"));
  test.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Return a copy of a folder: what a crash would leave now, but for what no sync had written. */
export async function image(test: TestContext, data: string): Promise<string> {
  const copy = await folder(test);
  await cp(data, copy, { recursive: true });
  return copy;
}

/** Return the paths of an outbox's files that end so, in their order. */
export async function files(data: string, end = ".seg"): Promise<string[]> {
  const names = (await readdir(join(data, "outbox"))).filter((name) => name.endsWith(end));
  return names.sort().map((name) => join(data, "outbox", name));
}

/** Return what waits: each record under its number. */
export async function contents(outbox: Outbox): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for await (const { seq, body } of outbox.pending()) found.set(seq, Buffer.from(body).toString());
  return found;
}
