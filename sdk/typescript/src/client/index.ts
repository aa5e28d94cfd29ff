/**
 * The HTTP client: records to a server, answers back, with a policy for trying again.
 *
 * Nothing here logs, and no error holds a body, a record or a token.
 */

export { Answer, type AnswerMembers, isFinal, parseRetryAfter } from "./answer.js";
export { BATCH_BYTES_MAX, BATCH_RECORDS_MAX, splitBatch } from "./batch.js";
export {
  type BatchOptions,
  type CallOptions,
  Client,
  type ClientOptions,
  type ListQuery,
} from "./client.js";
export { BatchRefusedError, DeadlineError, type Ended, NoAnswerError } from "./failures.js";
export { RETRY_POLICY, type RetryPolicy } from "./retry.js";
export { SchemeError } from "./scheme.js";
export { UntrustedError } from "./trust.js";
