/**
 * Opening an outbox: check the folder, lock, recover, read, and pass over every number that may have
 * been seen.
 *
 * A window's number is given once. Two things could hide that one was used: a batch that was damaged
 * after its sync and before anything marked it, which looks like a torn one; and an outbox that was
 * removed while the dead letters stayed beside it.
 */

import { join } from "node:path";
import { stat } from "node:fs/promises";

import { ContractError, LockedError } from "../protocol/errors.js";
import { type Disk, onDisk } from "../wal/disk.js";
import { FRAME_BYTES } from "../wal/framing.js";
import { Stream, type StreamBounds } from "../wal/stream.js";
import { Contents } from "./contents.js";
import { DeadLetters } from "./dead-letters.js";
import { packMeta, seqOf } from "./frames.js";

const FOLDER = "outbox";
const STREAM = "outbox";
/** What a server writes into its folder, and into the data folder in it. */
const OF_A_SERVER = ["server.toml", "shards.json"];

/**
 * How far the dead letters may be ahead of the outbox: a thousand frames a second for five centuries.
 * A number beyond was never given, and passing over it could leave none to give.
 */
const AHEAD_MAX = 2 ** 44;

/** An outbox's files, open. */
export interface Opened {
  readonly stream: Stream;
  readonly contents: Contents;
  readonly letters: DeadLetters;
}

/** Open, recover and read the outbox of a data folder, made when missing. */
export async function openLog(
  disk: Disk,
  data: string,
  bounds: StreamBounds,
  nowMs: number,
): Promise<Opened> {
  await checkUsable(disk, data);
  let stream: Stream;
  try {
    stream = await Stream.open(disk, join(data, FOLDER), STREAM, bounds);
  } catch (error) {
    if (error instanceof LockedError) throw new LockedError(`data folder ${data}: ${error.message}`);
    throw error;
  }
  let letters: DeadLetters | null = null;
  try {
    const contents = await Contents.read(stream.scan(), seqOf(stream.nextSeq));
    letters = await DeadLetters.open(disk, data, contents.pending, contents.nextSeq + AHEAD_MAX);
    contents.damage.push(...letters.damage);
    const wereGiven = BigInt(letters.lastSeq) >= stream.nextSeq;
    const tornFrames = Math.floor(stream.recovery.tornBytes / FRAME_BYTES);
    const seen = Math.max(seqOf(stream.nextSeq) - 1 + tornFrames, letters.lastSeq);
    if (seen >= contents.nextSeq) {
      // This frame first: numbers that are missing without it would be a loss.
      const [placed] = await stream.append([packMeta({ kind: "skipped", to: seen }, nowMs)]);
      if (placed !== undefined) contents.wrote(placed.position.segment, seqOf(placed.seq), FRAME_BYTES);
      contents.passOver(seen);
    }
    await stream.skipTo(BigInt(contents.nextSeq), { wereGiven });
    return { stream, contents, letters };
  } catch (error) {
    await letters?.close();
    await stream.close();
    throw error;
  }
}

/** Check that a folder can hold an outbox: nobody else's, or not there yet. */
async function checkUsable(disk: Disk, data: string): Promise<void> {
  if (!(await disk.isFolder(data))) return;
  const names = await onDisk(`data folder ${data}`, () => disk.names(data));
  const foreign = OF_A_SERVER.find((name) => names.includes(name));
  if (foreign !== undefined) {
    throw new ContractError(`${data}: expected a folder for an outbox, got one of fractal-server (${foreign})`);
  }
  if (await disk.isFolder(join(data, FOLDER, FOLDER))) {
    throw new ContractError(`${data}: expected a folder with an outbox, got the folder above one`);
  }
  const owner = (await onDisk(`data folder ${data}`, () => stat(data))).uid;
  const writer = process.geteuid?.() ?? owner;
  if (owner !== writer) {
    throw new ContractError(`${data}: expected to be used by its owner, user ${owner}, got user ${writer}`);
  }
}
