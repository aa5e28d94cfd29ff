/**
 * The retry policy: exponential backoff with full jitter, and the server's word above it.
 *
 * The rule: an attempt is repeated for as long as no final answer came and attempts and time are
 * left, never sooner than the server asked, and never in step with other clients.
 */

/** How often and how soon to try again. */
export interface RetryPolicy {
  /** How many further attempts may follow the first, 0 or more. */
  readonly retriesMax: number;
  /** Upper bound of the first wait; each further one doubles it. */
  readonly waitFirstS: number;
  /** Where the doubling ends. */
  readonly waitMaxS: number;
  /** A longer `Retry-After` counts as this: a mistaken date must not silence a client for a year. */
  readonly retryAfterMaxS: number;
}

/**
 * A tenth of a second is what a server needs to bind its port again after a restart; ten seconds keep
 * a fleet's load on a server that is down low, and its delay after the server is back short. Eight
 * retries outlast a restart; what must outlast a day belongs in an outbox.
 */
export const RETRY_POLICY: RetryPolicy = {
  retriesMax: 8,
  waitFirstS: 0.1,
  waitMaxS: 10,
  retryAfterMaxS: 300,
};

/**
 * Return how many seconds to wait behind an attempt: full jitter, on top of what the server asked.
 *
 * The jitter is added, not replaced: a server that tells everyone "in one second" would otherwise be
 * met by everyone in the same instant.
 *
 * @param attempt Its number, 1 and up.
 * @param random Returns a number from 0 to before 1.
 * @param askedS The server's `Retry-After`.
 *
 * Source: Brooker (2015), "Exponential backoff and jitter", the variant called full jitter.
 */
export function waitS(policy: RetryPolicy, attempt: number, random: () => number, askedS = 0): number {
  const ceilingS = Math.min(policy.waitFirstS * 2 ** (attempt - 1), policy.waitMaxS);
  return Math.min(askedS, policy.retryAfterMaxS) + random() * ceilingS;
}

/** A longer timer would end at once; whoever waits for weeks asks again then. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Return a timer's milliseconds for so many seconds. */
export function timerMs(seconds: number): number {
  return Math.min(seconds * 1000, TIMER_MS_MAX);
}

/**
 * Return after so many seconds.
 *
 * @throws The signal's reason, at once when it is aborted.
 */
export function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, timerMs(seconds));
    signal?.addEventListener("abort", stop, { once: true });
  });
}
