/**
 * What a call of the client ends with where it has no final answer.
 *
 * None of them holds a body, a record or a token: each can be logged as it is.
 */

import { FractalError, UnavailableError } from "../protocol/errors.js";
import type { Answer } from "./answer.js";

/** What was known when sending ended. */
export interface Ended {
  /** Requests made. */
  readonly attempts: number;
  /** The server's `code` in its last answer, `null` where it gave none. */
  readonly code?: string | null;
  /** The status of its last answer, `null` where none came. */
  readonly status?: number | null;
  readonly retryAfterS?: number | null;
  readonly cause?: unknown;
}

/**
 * No final answer came within the attempts that are allowed (`UnavailableError`: try again later).
 *
 * Whether the server has the record is unknown; the same bytes again are safe.
 */
export class NoAnswerError extends UnavailableError {
  override name = "NoAnswerError";
  readonly attempts: number;
  readonly code: string | null;
  readonly status: number | null;

  constructor(message: string, ended: Ended) {
    super(message, ended.retryAfterS ?? null, { cause: ended.cause });
    this.attempts = ended.attempts;
    this.code = ended.code ?? null;
    this.status = ended.status ?? null;
  }
}

/** The deadline ended before a final answer came, or would have before the next attempt. */
export class DeadlineError extends NoAnswerError {
  override name = "DeadlineError";
}

/** One request had no whole answer in its time, which ends with the call's deadline at the latest. */
export class TooSlowError extends UnavailableError {
  override name = "TooSlowError";
}

/** A batch was refused as a whole: the refusal says nothing about any of its records. */
export class BatchRefusedError extends FractalError {
  override name = "BatchRefusedError";

  constructor(readonly answer: Answer) {
    super(`batch: expected an answer to each line, got ${answer.status} ${answer.code ?? ""}`.trimEnd());
  }
}
