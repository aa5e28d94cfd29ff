/** The lock: the kernel's, by whichever program can ask for it, and nothing without one. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";

import { LockedError } from "../index.js";
import { Outbox } from "../outbox/node.js";
import { folder } from "./folders.js";

const OUTBOX = JSON.stringify(new URL("../outbox/node.js", import.meta.url).href);

/** Return where a program is, `null` where this machine has none. */
function found(program: string): string | null {
  const { status, stdout } = spawnSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" });
  return status === 0 ? stdout.trim() : null;
}

/** Open an outbox in a process that finds only the programs of a folder, and say what came of it. */
function opening(data: string, programs: string): ChildProcess {
  const source = `import { Outbox } from ${OUTBOX};
    await Outbox.open(${JSON.stringify(data)}).then(() => console.log("open"), (error) => console.log(error.message));
    process.stdin.resume();`;
  return spawn(process.execPath, ["--input-type=module", "-e", source], {
    env: { PATH: programs },
    stdio: ["pipe", "pipe", "inherit"],
  });
}

for (const program of ["flock", "perl"]) {
  const path = found(program);
  const skip = path === null ? `${program} is not installed` : false;
  test(`a lock that ${program} asked for is everybody's`, { skip }, async (t) => {
    const [data, programs] = [await folder(t), await folder(t)];
    await symlink(path as string, join(programs, program));
    const other = opening(data, programs);
    const [said] = (await once(other.stdout!, "data")) as [Buffer];
    assert.equal(said.toString().trim(), "open");
    await assert.rejects(Outbox.open(data), (error) => error instanceof LockedError && error.message.endsWith(`pid ${other.pid}`));
    other.stdin!.end();
    await once(other, "exit");
    const outbox = await Outbox.open(data);
    // And the other way round.
    const late = opening(data, programs);
    late.stdin!.end();
    assert.match(await text(late.stdout!), new RegExp(`expected no other process, got pid ${process.pid}$`, "m"));
    await outbox.close();
  });
}

test("without a program to ask with nothing is opened", async (t) => {
  const child = opening(await folder(t), await folder(t));
  child.stdin!.end();
  assert.match(await text(child.stdout!), /expected the program flock \(util-linux\) or perl/);
});
