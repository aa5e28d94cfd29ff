/**
 * The versions a record can have: the one place that asks which it is.
 *
 * Every version that ever was accepted stays readable, since ledgers keep what they decided.
 */

import { readDocument, requireVersion } from "./document.js";
import { Refusal } from "./errors.js";
import { judge, type Outcome } from "./judge.js";
import { judgeLegacy, refuseUnsigned } from "./legacy-judge.js";
import {
  LEGACY_VERSION,
  type LegacyRecord,
  legacyRecordOf,
  storedLegacyBytes,
} from "./legacy-record.js";
import { type PcsRecord, recordOf, storedBytes, VERSION } from "./record.js";

export type AnyRecord = PcsRecord | LegacyRecord;

/**
 * Returns the record a body holds, of any version that is taken.
 *
 * @param options `acceptsLegacy`: whether version 0.1 is taken; where it is not, it is refused as
 *     such, before any member is looked at.
 * @throws Refusal as `parseRecord`, by the rules of the body's own version.
 */
export function parseAnyRecord(body: Uint8Array, options: { acceptsLegacy: boolean }): AnyRecord {
  const document = readDocument(body);
  if (requireVersion(document, [VERSION, LEGACY_VERSION]) === VERSION) return recordOf(document);
  if (!options.acceptsLegacy) {
    const message = `version: expected ${VERSION}, got ${LEGACY_VERSION}, which is switched off here`;
    throw new Refusal("unsupported_version", "legacy_switched_off", message, "version");
  }
  return legacyRecordOf(document);
}

/** Returns the verdict on a record under the parameter set in force for its version; pure. */
export function judgeAny(record: AnyRecord): Outcome {
  return record.version === VERSION ? judge(record) : judgeLegacy(record);
}

/**
 * Returns whether an outcome is kept: of version 0.1 only one that accepts.
 *
 * A relay can spoil a copy of such a record; it must not decide for the honest sender.
 *
 * @throws Refusal `unsigned_member_mismatch`: the outcome is not even the record's.
 */
export function isRemembered(record: AnyRecord, outcome: Outcome): boolean {
  if (record.version === VERSION) return true;
  refuseUnsigned(outcome);
  return outcome.accepted;
}

/** Returns what a ledger keeps of a record. */
export function storedBytesOf(record: AnyRecord): Uint8Array {
  return record.version === VERSION ? storedBytes(record) : storedLegacyBytes(record);
}
