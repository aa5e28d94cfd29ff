/**
 * Points in time on the wire: `YYYY-MM-DDTHH:MM:SS.mmmZ`, and as milliseconds since 1970.
 *
 * One spelling, so that equal times are equal bytes: UTC, three decimals, no leap second.
 */

import { ContractError } from "./errors.js";

/** 9999-12-31T23:59:59.999Z. */
export const TIMESTAMP_MS_MAX = 253_402_300_799_999;

const TEXT = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$/;

/**
 * Returns the milliseconds since 1970-01-01T00:00:00.000Z.
 *
 * @throws ContractError Another spelling, no Gregorian date, or before 1970.
 */
export function parseTimestamp(text: string): number {
  if (!TEXT.test(text)) {
    throw new ContractError("timestamp: expected YYYY-MM-DDTHH:MM:SS.mmmZ, got another spelling");
  }
  const time = new Date(text);
  // The parser takes 31 February for a day of March: written again it is another text.
  if (Number.isNaN(time.getTime()) || time.toISOString() !== text) {
    throw new ContractError("timestamp: expected a Gregorian date, got no such day");
  }
  if (time.getTime() < 0) {
    throw new ContractError("timestamp: expected a year from 1970 on, got an earlier one");
  }
  return time.getTime();
}

/**
 * Returns the text of a time given in milliseconds since 1970; a fraction of one is dropped.
 *
 * @throws ContractError `ms` is outside 1970 … 9999.
 */
export function formatTimestamp(ms: number): string {
  if (!(ms >= 0 && ms <= TIMESTAMP_MS_MAX)) {
    throw new ContractError("timestamp: expected a time in 1970 … 9999, got one outside");
  }
  return new Date(ms).toISOString();
}
