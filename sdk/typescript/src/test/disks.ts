/** Disks for tests: the real one, with calls counted, refused or failed. */

import { type Disk, type DiskFile, realDisk } from "../wal/disk.js";

export type Call = "write" | "datasync" | "create" | "rename" | "syncFolder" | "unlink" | "truncate";

/** A disk over the real one; `before` is told of each call, of what is written too, and may throw in its place. */
export function watched(before: (call: Call, path: string, data?: Uint8Array) => void): Disk {
  const file = (path: string, inner: DiskFile): DiskFile => ({
    readAt: (offset, size) => inner.readAt(offset, size),
    writeAt: async (offset, data) => {
      before("write", path, data);
      await inner.writeAt(offset, data);
    },
    size: () => inner.size(),
    truncate: async (size) => {
      before("truncate", path);
      await inner.truncate(size);
    },
    datasync: async () => {
      before("datasync", path);
      await inner.datasync();
    },
    close: () => inner.close(),
  });
  return {
    ...realDisk,
    create: async (path) => {
      before("create", path);
      return file(path, await realDisk.create(path));
    },
    open: async (path, options) => file(path, await realDisk.open(path, options)),
    rename: async (old, name) => {
      before("rename", name);
      await realDisk.rename(old, name);
    },
    syncFolder: async (folder) => {
      before("syncFolder", folder);
      await realDisk.syncFolder(folder);
    },
    unlink: async (path) => {
      before("unlink", path);
      await realDisk.unlink(path);
    },
  };
}

/** What the kernel says of a disk that fails (`EIO`) or is full (`ENOSPC`). */
export function diskError(code: "EIO" | "ENOSPC"): Error {
  return Object.assign(new Error(code), { code });
}

/** A disk that locks nothing: for images that no other process knows of, many of them. */
export const unlocked: Disk = { ...realDisk, lock: async () => ({ release: async () => undefined }) };
