/**
 * Opening an outbox: check the folder, lock, recover, read, and pass over every number that may have
 * been seen.
 *
 * A window's number is given once. Two things could hide that one was used: a batch that was damaged
 * after its sync and before anything marked it, which looks like a torn one; and an outbox that was
 * removed while an agent's dead letters stayed beside it.
 */

import { join } from "node:path";
import { stat } from "node:fs/promises";

import { ContractError, LockedError } from "../protocol/errors.js";
import { type Disk, onDisk } from "../wal/disk.js";
import { FRAME_BYTES } from "../wal/framing.js";
import { Stream, type StreamBounds } from "../wal/stream.js";
import { Contents } from "./contents.js";
import { packMeta, seqOf } from "./frames.js";

const FOLDER = "outbox";
const STREAM = "outbox";
const DEAD_LETTERS = "dead-letters.ndjson";
/** What a server writes into its folder, and into the data folder in it. */
const OF_A_SERVER = ["server.toml", "shards.json"];

/** How a line of the dead letters begins. */
const LETTER = /(?:^|\n)\{"outbox_seq":([0-9]{1,16}),/g;
const LETTER_BYTES_MAX = 64;
const CHUNK_BYTES = 1 << 20;
/**
 * How far the dead letters may be ahead of the outbox: a thousand frames a second for five centuries.
 * A number beyond was never given, and passing over it could leave none to give.
 */
const AHEAD_MAX = 2 ** 44;

/** Open, recover and read the outbox of a data folder, made when missing. */
export async function openLog(
  disk: Disk,
  data: string,
  bounds: StreamBounds,
  nowMs: number,
): Promise<{ readonly stream: Stream; readonly contents: Contents }> {
  await checkUsable(disk, data);
  let stream: Stream;
  try {
    stream = await Stream.open(disk, join(data, FOLDER), STREAM, bounds);
  } catch (error) {
    if (error instanceof LockedError) throw new LockedError(`data folder ${data}: ${error.message}`);
    throw error;
  }
  try {
    const contents = await Contents.read(stream.scan(), seqOf(stream.nextSeq));
    const letter = await lastLetter(disk, data, contents.nextSeq + AHEAD_MAX);
    const wereGiven = BigInt(letter) >= stream.nextSeq;
    const tornFrames = Math.floor(stream.recovery.tornBytes / FRAME_BYTES);
    const seen = Math.max(seqOf(stream.nextSeq) - 1 + tornFrames, letter);
    if (seen >= contents.nextSeq) {
      // This frame first: numbers that are missing without it would be a loss.
      const [placed] = await stream.append([packMeta({ kind: "skipped", to: seen }, nowMs)]);
      if (placed !== undefined) contents.wrote(placed.position.segment, seqOf(placed.seq), FRAME_BYTES);
      contents.passOver(seen);
    }
    await stream.skipTo(BigInt(contents.nextSeq), { wereGiven });
    return { stream, contents };
  } catch (error) {
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
  const owner = (await stat(data)).uid;
  const writer = process.geteuid?.() ?? owner;
  if (owner !== writer) {
    throw new ContractError(`${data}: expected to be used by its owner, user ${owner}, got user ${writer}`);
  }
}

/** Return the highest number among an agent's dead letters up to a bound, 0 where there is none. */
async function lastLetter(disk: Disk, data: string, bound: number): Promise<number> {
  const names = await disk.names(data);
  if (!names.includes(DEAD_LETTERS)) return 0;
  return onDisk(DEAD_LETTERS, async () => {
    const file = await disk.open(join(data, DEAD_LETTERS));
    try {
      let highest = 0;
      const size = await file.size();
      // Each piece begins where the one before may have been cut within the beginning of a line.
      for (let at = 0; at < size; at += CHUNK_BYTES) {
        const start = Math.max(0, at - LETTER_BYTES_MAX);
        const piece = (await file.readAt(start, at - start + CHUNK_BYTES)).toString("latin1");
        for (const [, digits] of piece.matchAll(LETTER)) {
          const seq = Number(digits);
          if (seq <= bound) highest = Math.max(highest, seq);
        }
      }
      return highest;
    } finally {
      await file.close();
    }
  });
}
