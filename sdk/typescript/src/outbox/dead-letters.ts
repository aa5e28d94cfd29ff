/**
 * The file of the dead letters, `dead-letters.ndjson` of a data folder, open for appending.
 *
 * A line is on disk before the outbox notes the answer; after a crash between the two the record is
 * sent again and the line written again, so a reader takes the last line of each number. What a power
 * cut tore at the end is no line: its record still waits. What is damaged there and waits no more was
 * durable once, and stays.
 */

import { join } from "node:path";

import type { Answer } from "../client/answer.js";
import { FencedError, FullError } from "../protocol/errors.js";
import type { PcsRecord } from "../protocol/record.js";
import { type Disk, type DiskFile, isNoRoom, onDisk } from "../wal/disk.js";
import { LETTER_BYTES_MAX, letterLine, numberOf, readLetter } from "./letters.js";

const FILE = "dead-letters.ndjson";
const CUT = "dead-letters.ndjson.cut";
const LINE_END = Buffer.from("\n");

/** A line as it stands in the file; `bytes` is its beginning alone where it is too long for a letter. */
interface Line {
  readonly bytes: Buffer;
  /** What it takes once it has its end. */
  readonly size: number;
  readonly seq: number | null;
}

/** What the lines of the file add up to. */
interface Found {
  /** Bytes that stay: what is behind them was torn. */
  end: number;
  lines: number;
  unreadable: number;
  /** The highest number that an outbox can have given. */
  lastSeq: number;
  beyond: number;
}

interface Waiting {
  readonly line: Uint8Array;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/** The dead letters of one data folder; several callers may append at once. */
export class DeadLetters {
  readonly #queue: Waiting[] = [];
  #running: Promise<void> | null = null;
  #isFenced = false;
  #size: number;
  /** Its lines. */
  count: number;
  /** The highest number of a letter that the outbox can have given, 0 where there is none. */
  readonly lastSeq: number;
  /** What opening found damaged or put aside, for people. */
  readonly damage: readonly string[];

  private constructor(
    private readonly disk: Disk,
    private readonly folder: string,
    private file: DiskFile | null,
    found: Found,
    torn: number,
  ) {
    this.#size = found.end;
    this.count = found.lines;
    this.lastSeq = found.lastSeq;
    this.damage = [
      ...(found.unreadable > 0 ? [`${FILE}: expected letters, got ${found.unreadable} lines that are none: kept`] : []),
      ...(found.beyond > 0 ? [`${FILE}: expected numbers that were given, got ${found.beyond} far beyond`] : []),
      ...(torn > 0 ? [`${FILE}: ${torn} bytes behind the last letter were torn, and their records wait: moved to ${CUT}`] : []),
    ];
  }

  /**
   * Open and mend the dead letters of a folder; the file is made with its first line.
   *
   * @param pending The records without a final answer: what is torn is theirs, or it is damage.
   * @param seqMax The highest number to believe.
   * @throws ContractError A newer program wrote a line; nothing was changed.
   * @throws DurabilityError The disk refused.
   */
  static async open(disk: Disk, folder: string, pending: ReadonlyMap<number, unknown>, seqMax: number): Promise<DeadLetters> {
    return onDisk(FILE, async () => {
      const nothing: Found = { end: 0, lines: 0, unreadable: 0, lastSeq: 0, beyond: 0 };
      if (!(await disk.names(folder)).includes(FILE)) return new DeadLetters(disk, folder, null, nothing, 0);
      const file = await disk.open(join(folder, FILE), { isWritable: true });
      try {
        const found = await read(file, pending, seqMax);
        const torn = Math.max(0, (await file.size()) - found.end);
        if (torn > 0) await keepCut(disk, folder, file, found.end);
        await mend(file, found.end, torn);
        return new DeadLetters(disk, folder, file, found, torn);
      } catch (error) {
        await file.close();
        throw error;
      }
    });
  }

  /**
   * Keep a record and its final answer: on disk when it returns. Calls that come together share a sync.
   *
   * @throws FullError There is no room for it: nothing was written, and the next one tries again.
   * @throws DurabilityError It may or may not be there, and no further line is written.
   */
  append(seq: number, record: PcsRecord, answer: Answer): Promise<void> {
    const line = letterLine(seq, record, answer, Date.now());
    return new Promise((done, failed) => {
      this.#queue.push({ line, done, failed });
      this.#running ??= this.#run();
    });
  }

  async close(): Promise<void> {
    await this.#running;
    const { file } = this;
    this.file = null;
    if (file !== null) await onDisk(FILE, () => file.close());
  }

  async #run(): Promise<void> {
    // What is given in the same turn of the loop shares the first sync already.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0);
      try {
        await this.#write(Buffer.concat(batch.map(({ line }) => line)));
        this.count += batch.length;
        for (const { done } of batch) done();
      } catch (error) {
        for (const { failed } of batch) failed(error);
      }
    }
    this.#running = null;
  }

  async #write(lines: Buffer): Promise<void> {
    if (this.#isFenced) throw new FencedError(`${FILE}: expected a file that can be written, got a failure before`);
    try {
      await onDisk(FILE, async () => {
        this.file ??= await this.#made();
        await this.#writeOrTakeBack(this.file, lines);
      });
    } catch (error) {
      this.#isFenced = !(error instanceof FullError);
      throw error;
    }
    this.#size += lines.length;
  }

  async #made(): Promise<DiskFile> {
    const file = await this.disk.create(join(this.folder, FILE)).catch((error: unknown) => {
      throw isNoRoom(error) ? noRoom(error) : error;
    });
    try {
      await this.disk.syncFolder(this.folder);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async #writeOrTakeBack(file: DiskFile, lines: Buffer): Promise<void> {
    try {
      await file.writeAt(this.#size, lines);
    } catch (error) {
      if (!isNoRoom(error)) throw error;
      // No sync failed, so nothing is in doubt but what this write left: that is taken back.
      await file.truncate(this.#size);
      await file.datasync();
      throw noRoom(error);
    }
    await file.datasync();
  }
}

function noRoom(cause: unknown): FullError {
  return new FullError(`${FILE}: expected room for what was not accepted, got a full disk`, { cause });
}

async function read(file: DiskFile, pending: ReadonlyMap<number, unknown>, seqMax: number): Promise<Found> {
  const found: Found = { end: 0, lines: 0, unreadable: 0, lastSeq: 0, beyond: 0 };
  let [offset, lines, unreadable] = [0, 0, 0];
  for await (const { bytes, size, seq } of linesOf(file)) {
    offset += size;
    lines += 1;
    if (seq === null) unreadable += 1;
    else if (seq <= seqMax) found.lastSeq = Math.max(found.lastSeq, seq);
    else found.beyond += 1;
    if (seq !== null || isDamaged(bytes, pending)) Object.assign(found, { end: offset, lines, unreadable });
  }
  return found;
}

/** Tell whether a line that is no letter is none of a record that waits. */
function isDamaged(line: Buffer, pending: ReadonlyMap<number, unknown>): boolean {
  const seq = numberOf(line);
  return seq === null ? pending.size === 0 && line.toString("latin1").trim() !== "" : !pending.has(seq);
}

/** Yield each line; the last one may not be ended, or not be there yet as a whole. */
async function* linesOf(file: DiskFile): AsyncGenerator<Line, void> {
  let rest = Buffer.alloc(0);
  let dropped = 0;
  for (let offset = 0; ; ) {
    const block = await file.readAt(offset, LETTER_BYTES_MAX);
    if (block.length === 0) break;
    offset += block.length;
    rest = Buffer.concat([rest, block]);
    for (let end = rest.indexOf(LINE_END); end >= 0; end = rest.indexOf(LINE_END)) {
      const bytes = rest.subarray(0, end);
      yield { bytes, size: dropped + end + 1, seq: dropped > 0 ? null : readLetter(bytes, FILE) };
      rest = rest.subarray(end + 1);
      dropped = 0;
    }
    // Longer than any letter: its beginning says whose it was, the rest is only counted.
    if (rest.length > LETTER_BYTES_MAX) {
      dropped += rest.length - LETTER_BYTES_MAX;
      rest = rest.subarray(0, LETTER_BYTES_MAX);
    }
  }
  if (rest.length === 0) return;
  // Its end is missing, or is the byte that was damaged.
  for (const bytes of dropped > 0 ? [] : [rest, rest.subarray(0, -1)]) {
    const seq = readLetter(bytes, FILE);
    if (seq === null) continue;
    yield { bytes, size: bytes.length + 1, seq };
    return;
  }
  yield { bytes: rest, size: dropped + rest.length + 1, seq: null };
}

/**
 * Cut what was torn, and make the last lines durable.
 *
 * A process before this one may have failed to sync what it wrote last, and reading it now tells only
 * that it is in memory. Written again, it is on its way to the disk again.
 */
async function mend(file: DiskFile, end: number, torn: number): Promise<void> {
  if (torn > 0) await file.truncate(end);
  if (end > 0) {
    const start = Math.max(0, end - LETTER_BYTES_MAX);
    // The last one may have lost its end.
    await file.writeAt(start, Buffer.concat([await file.readAt(start, end - start - 1), LINE_END]));
  }
  await file.datasync();
}

/** Make what is about to be cut durable in a file of its own, behind what was cut before. */
async function keepCut(disk: Disk, folder: string, file: DiskFile, start: number): Promise<void> {
  const path = join(folder, CUT);
  const isThere = (await disk.names(folder)).includes(CUT);
  const cut = await (isThere ? disk.open(path, { isWritable: true }) : disk.create(path));
  try {
    let to = await cut.size();
    for (let offset = start; ; ) {
      const block = await file.readAt(offset, LETTER_BYTES_MAX);
      if (block.length === 0) break;
      await cut.writeAt(to, block);
      offset += block.length;
      to += block.length;
    }
    await cut.datasync();
  } finally {
    await cut.close();
  }
  await disk.syncFolder(folder);
}
