/**
 * Locks: one process for each stream, also beside the agents and servers of other languages.
 *
 * The lock is the kernel's (`flock`), which those take too. Node has no call for it, but an `flock`
 * belongs to the open file and not to the process that asked for it: a child that is given our
 * descriptor locks it and ends, and the lock stays for as long as this process has the file open,
 * whatever ends it. The child is the program `flock` (util-linux, busybox), or perl where there is
 * none. Without either nothing is opened: a lock that only we know would protect nothing.
 */

import { spawn } from "node:child_process";
import { constants } from "node:fs";
import * as fs from "node:fs/promises";

import { DurabilityError } from "../protocol/errors.js";

/** A lock that is held. */
export interface Lock {
  /** Let the next one have it. The file stays: removing it would let two processes lock two files. */
  release(): Promise<void>;
}

/** Asking never waits for the lock, so this bounds the start of a small program. */
const ASK_TIMEOUT_MS = 10_000;
const HELD = 0;
const TAKEN = 1;
/** Where in the child our file is. */
const CHILD_FD = 3;
const PERL = `use Fcntl qw(:flock); open(my $f, "+<&=", ${CHILD_FD}) or exit 2; exit(flock($f, LOCK_EX | LOCK_NB) ? ${HELD} : $!{EWOULDBLOCK} ? ${TAKEN} : 2)`;
const ASKING: readonly (readonly [string, readonly string[]])[] = [
  ["flock", ["-x", "-n", String(CHILD_FD)]],
  ["perl", ["-MErrno", "-e", PERL]],
];

/** Lock a file, made when missing, and write a note into it; `null`: another process has it. */
export async function lockFile(path: string, note: string, mode: number): Promise<Lock | null> {
  // It is made when missing, never emptied before it is ours, and no link to what somebody else has.
  const handle = await fs.open(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW, mode);
  try {
    if (!(await isLocked(handle.fd))) {
      await handle.close();
      return null;
    }
    await handle.truncate(0);
    await handle.write(note);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return { release: () => handle.close() };
}

async function isLocked(fd: number): Promise<boolean> {
  for (const [program, flags] of ASKING) {
    const code = await ask(program, flags, fd);
    if (code === HELD) return true;
    if (code === TAKEN) return false;
  }
  throw new DurabilityError(
    "lock: expected the program flock (util-linux) or perl to lock a file with, got neither",
  );
}

/** Return how the program ended; `null` where it cannot be started or was ended. */
function ask(program: string, flags: readonly string[], fd: number): Promise<number | null> {
  return new Promise((resolve) => {
    const child = spawn(program, flags, { stdio: ["ignore", "ignore", "ignore", fd] });
    // spawn's own bound would keep this process for as long, where the program cannot be started.
    const bound = setTimeout(() => child.kill("SIGKILL"), ASK_TIMEOUT_MS);
    const ended = (code: number | null): void => {
      clearTimeout(bound);
      resolve(code);
    };
    child.once("error", () => ended(null));
    child.once("close", ended);
  });
}
