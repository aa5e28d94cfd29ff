/**
 * The error tree: what failed, and what to do about it.
 *
 * ```text
 * FractalError
 * ├── ContractError          refuse it: the input breaks a rule, and always will
 * │   ├── Refusal            a record refused with a stable code, reason and member
 * │   ├── KeyringError       a keyring refused as a whole
 * │   ├── WindowError        a window that cannot be summarised
 * │   └── RingError          no set of shards
 * ├── DurabilityError        stop and keep the record: what is on disk is in doubt
 * │   ├── CorruptionError    stored bytes are not what was written
 * │   ├── FullError          there is no room: nothing was written, nothing is fenced
 * │   ├── FencedError        a write failed earlier; nothing is written until recovery
 * │   └── LockedError        another process holds the folder
 * └── UnavailableError       try again later, not before `retryAfterS`
 * ```
 *
 * A message reads `where: expected X, got Y`. It never holds a secret or a payload, so that it can
 * be logged and sent to a caller as it is.
 */

/** Every error this package throws on purpose. */
export class FractalError extends Error {
  override name: string = "FractalError";
}

/** The input breaks a rule: refuse it, a repeat will fail in the same way. */
export class ContractError extends FractalError {
  override name: string = "ContractError";
}

/** The stable codes under which a record is refused (`specs/pcs.md` section 1.3). */
export type RefusalCode =
  | "too_large"
  | "bad_encoding"
  | "malformed_json"
  | "unsupported_version"
  | "invalid_record"
  | "pcs_id_mismatch"
  | "unknown_key"
  | "signature_missing"
  | "signature_invalid"
  | "key_not_valid_now"
  | "tenant_mismatch"
  | "beyond_horizon"
  | "unsigned_member_mismatch";

/** A record that must not be accepted, with the one rule it breaks first. */
export class Refusal extends ContractError {
  override name = "Refusal";

  /**
   * @param code what a caller branches on.
   * @param reason the rule, a snake_case word that is stable too.
   * @param member the path of the offending member (`N_j.4`), `null` where there is none.
   */
  constructor(
    readonly code: RefusalCode,
    readonly reason: string,
    message: string,
    readonly member: string | null = null,
  ) {
    super(message);
  }
}

/** A keyring that cannot be used: nothing of it was taken over. */
export class KeyringError extends ContractError {
  override name = "KeyringError";

  /**
   * @param entry `keyring`, or the entry that is wrong (`keys[0]`).
   * @param member the member that is wrong, `null` where it is the whole entry.
   */
  constructor(
    message: string,
    readonly entry: string = "keyring",
    readonly member: string | null = null,
  ) {
    super(message);
  }
}

/** A window that cannot be summarised. */
export class WindowError extends ContractError {
  override name = "WindowError";

  /**
   * @param row the row of the first bad value, counted from 0; `null` where the window as a whole is wrong.
   * @param column its column, counted from 0.
   */
  constructor(
    message: string,
    readonly row: number | null = null,
    readonly column: number | null = null,
  ) {
    super(message);
  }
}

/** Shards that make no ring. */
export class RingError extends ContractError {
  override name = "RingError";

  constructor(
    readonly reason: "no_shard" | "shard_twice" | "weight_out_of_range",
    message: string,
  ) {
    super(message);
  }
}

/** What is on disk is in doubt: stop, keep the record, answer nothing from it. */
export class DurabilityError extends FractalError {
  override name: string = "DurabilityError";
}

/** Stored bytes do not verify. */
export class CorruptionError extends DurabilityError {
  override name = "CorruptionError";
}

/** There is no room for it. Nothing was written: the same may be tried again later. */
export class FullError extends DurabilityError {
  override name = "FullError";
}

/** The store refuses to write since an earlier write failed; to open it again recovers it. */
export class FencedError extends DurabilityError {
  override name = "FencedError";
}

/** Another process holds the lock. */
export class LockedError extends DurabilityError {
  override name = "LockedError";
}

/** The other side cannot answer now: try again later. */
export class UnavailableError extends FractalError {
  override name = "UnavailableError";

  /** @param retryAfterS how long the other side asked to be left alone, `null` where it did not say. */
  constructor(
    message: string,
    readonly retryAfterS: number | null = null,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
