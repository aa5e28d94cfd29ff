/** The browser outbox's database: its stores, and IndexedDB's events as promises and errors of ours. */

import { ContractError, DurabilityError, FullError } from "../protocol/errors.js";

/** Records that wait, by their numbers, which its key generator gives. */
export const RECORDS = "records";
/** Records that were not accepted, by the numbers they had. */
export const REFUSED = "refused";
/** The bytes of both, under `BYTES`. */
export const STATE = "state";
export const BYTES = "bytes";

/** 2: with `REFUSED`. */
const FORMAT = 2;

/**
 * Open the database, made when missing.
 *
 * @throws ContractError A later release wrote it.
 * @throws DurabilityError There is no IndexedDB here, or it refused.
 */
export async function openDatabase(name: string): Promise<IDBDatabase> {
  if (typeof indexedDB === "undefined") throw new DurabilityError("outbox: expected IndexedDB, got none");
  const request = indexedDB.open(name, FORMAT);
  request.addEventListener("upgradeneeded", ({ oldVersion }) => {
    const database = request.result;
    if (oldVersion < 1) {
      database.createObjectStore(RECORDS, { keyPath: "seq", autoIncrement: true });
      database.createObjectStore(STATE);
    }
    database.createObjectStore(REFUSED, { keyPath: "seq" });
  });
  const database = await result(request);
  // A later release's page wants to change the stores: this one's calls fail from then on.
  database.addEventListener("versionchange", () => database.close());
  return database;
}

/** Begin a transaction over all stores; what it wrote is on disk when it is complete. */
export function begin(database: IDBDatabase, mode: "readonly" | "readwrite"): IDBTransaction {
  try {
    return database.transaction([RECORDS, REFUSED, STATE], mode, { durability: "strict" });
  } catch (error) {
    throw failure(error);
  }
}

/** Return what a request is answered with. */
export function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(failure(request.error)));
  });
}

/** Return when a transaction is complete. */
export function completed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.addEventListener("complete", () => resolve());
    transaction.addEventListener("abort", () => reject(failure(transaction.error)));
  });
}

/** Say what IndexedDB said; its messages may name the database, its names are enough. */
function failure(error: unknown): Error {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "an abort";
  if (name === "QuotaExceededError") {
    return new FullError("outbox: expected room in the browser, got none", { cause: error });
  }
  if (name === "VersionError") {
    return new ContractError("outbox: expected this release's format, got a later one's");
  }
  return new DurabilityError(`outbox: expected IndexedDB to work, got ${name}`, { cause: error });
}
