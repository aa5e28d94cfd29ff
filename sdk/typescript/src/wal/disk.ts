/**
 * The disk as the log sees it: a port, and the real one.
 *
 * Every call that may fail throws what Node throws and says nothing about what it left behind: after
 * a failed write or sync the state of the bytes is unknown, and the caller must not go on as if the
 * call had not been made. A new name is durable only after its folder's `syncFolder`.
 */

import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import * as fs from "node:fs/promises";
import { dirname } from "node:path";

import { CorruptionError, DurabilityError, FractalError } from "../protocol/errors.js";
import { type Lock, lockFile } from "./lock.js";

/** Records are their senders' alone. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/** An open file. */
export interface DiskFile {
  /** Return `size` bytes from `offset` on, fewer only where the file ends. */
  readAt(offset: number, size: number): Promise<Buffer>;
  /** Write all of `data`; a failure may have written any part of it. */
  writeAt(offset: number, data: Uint8Array): Promise<void>;
  size(): Promise<number>;
  truncate(size: number): Promise<void>;
  /** Make the bytes written so far durable. */
  datasync(): Promise<void>;
  close(): Promise<void>;
}

/** Files and folders. */
export interface Disk {
  /** Make a new file and open it; it fails when the name is taken. */
  create(path: string): Promise<DiskFile>;
  open(path: string, options?: { readonly isWritable: boolean }): Promise<DiskFile>;
  /** Give a file a new name in one step, in place of what had it. */
  rename(old: string, name: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Return the names in a folder, sorted. */
  names(folder: string): Promise<string[]>;
  isFolder(path: string): Promise<boolean>;
  mkdir(path: string): Promise<void>;
  /** Make names given and removed in a folder durable. */
  syncFolder(folder: string): Promise<void>;
  /** Lock a file, made when missing, and leave a note in it; `null`: another process has it. */
  lock(path: string, note: string): Promise<Lock | null>;
  /** Return nanoseconds since 1970 and 16 random bytes. */
  stamp(): readonly [bigint, Buffer];
}

class RealFile implements DiskFile {
  readonly #handle: fs.FileHandle;

  constructor(handle: fs.FileHandle) {
    this.#handle = handle;
  }

  async readAt(offset: number, size: number): Promise<Buffer> {
    const data = Buffer.alloc(Math.max(0, Math.min(size, (await this.size()) - offset)));
    let done = 0;
    while (done < data.length) {
      const { bytesRead } = await this.#handle.read(data, done, data.length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return data.subarray(0, done);
  }

  async writeAt(offset: number, data: Uint8Array): Promise<void> {
    let done = 0;
    while (done < data.length) {
      const { bytesWritten } = await this.#handle.write(data, done, data.length - done, offset + done);
      done += bytesWritten;
    }
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  async truncate(size: number): Promise<void> {
    await this.#handle.truncate(size);
  }

  async datasync(): Promise<void> {
    await this.#handle.datasync();
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** A symbolic link in a file's place leads to bytes of somebody else, which recovery would cut: it is refused. */
const OPENED = constants.O_NOFOLLOW;

/** The operating system's files. */
export const realDisk: Disk = {
  create: async (path) => new RealFile(await fs.open(path, "wx+", FILE_MODE)),
  open: async (path, options) => new RealFile(await fs.open(path, OPENED | (options?.isWritable ? constants.O_RDWR : constants.O_RDONLY))),
  rename: (old, name) => fs.rename(old, name),
  unlink: (path) => fs.unlink(path),
  names: async (folder) => (await fs.readdir(folder)).sort(),
  isFolder: async (path) => {
    const found = await fs.stat(path).catch(() => null);
    return found !== null && found.isDirectory();
  },
  mkdir: async (path) => {
    await fs.mkdir(path, { mode: FOLDER_MODE }).catch((error: unknown) => {
      if (codeOf(error) !== "EEXIST") throw error;
    });
  },
  syncFolder: async (folder) => {
    const handle = await fs.open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  lock: (path, note) => lockFile(path, note, FILE_MODE),
  stamp: () => [BigInt(Date.now()) * 1_000_000n, randomBytes(16)],
};

/** Return the code of what the disk threw (`ENOSPC`), `null` where it is no error of the disk. */
export function codeOf(error: unknown): string | null {
  if (error instanceof FractalError || !(error instanceof Error) || !("code" in error)) return null;
  return typeof error.code === "string" ? error.code : null;
}

/** Tell whether a disk or a quota is full. */
export function isNoRoom(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ENOSPC" || code === "EDQUOT";
}

/** Tell whether a file was not there, also where that was translated. */
export function isNoFile(error: unknown): boolean {
  return codeOf(error instanceof DurabilityError ? error.cause : error) === "ENOENT";
}

/** Do something on the disk, and say where when it fails. */
export async function onDisk<T>(where: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    if (code === null) throw error;
    // Node's own message repeats the path; where it is, the caller knows.
    const message = isNoRoom(error)
      ? `${where}: expected room on the disk, got ${code}: free some room first`
      : `${where}: expected a working disk, got ${code}`;
    throw new DurabilityError(message, { cause: error });
  }
}

/** Say that stored bytes are not what was written. */
export function corrupt(where: string, got: string): CorruptionError {
  return new CorruptionError(`${where}: expected a frame, got ${got}`);
}

/**
 * Make a folder with those above it, and every new name durable.
 *
 * What a crash left half made is made durable by the next call: the parent is synced even when
 * nothing was missing, and the parent of the lowest folder found when something was.
 */
export async function makeFolder(disk: Disk, folder: string): Promise<void> {
  const missing = [folder];
  for (let parent = dirname(folder); !(await disk.isFolder(parent)); parent = dirname(parent)) {
    if (parent === dirname(parent)) break; // Nothing is above: making the first one says what is wrong.
    missing.push(parent);
  }
  if (!(await disk.isFolder(folder))) {
    await disk.syncFolder(dirname(dirname(missing.at(-1) as string)));
  }
  for (const path of missing.reverse()) {
    await disk.mkdir(path);
    await disk.syncFolder(dirname(path));
  }
}
