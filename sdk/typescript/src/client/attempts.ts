/**
 * The attempts of one call: how many were made, what the last one met, how long may be waited.
 *
 * Both bounds of a call, its attempts and its deadline, are kept here and nowhere else.
 */

import type { UnavailableError } from "../protocol/errors.js";
import type { Answer } from "./answer.js";
import type { Server } from "./exchange.js";
import { DeadlineError, NoAnswerError, TooSlowError } from "./failures.js";
import { type RetryPolicy, waitS } from "./retry.js";

export class Attempts {
  made = 0;
  #last: { code: string | null; status: number | null; cause?: unknown } = { code: null, status: null };
  readonly #endsAtMs: number;
  /** The last request may take until the deadline; it took that long. */
  #isLast = false;
  #isLate = false;

  constructor(
    private readonly where: string,
    private readonly policy: RetryPolicy,
    deadlineS: number,
    private readonly random: () => number,
    private readonly wait: (seconds: number, signal?: AbortSignal) => Promise<void>,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.#endsAtMs = performance.now() + deadlineS * 1000;
  }

  /**
   * Return when the next attempt may be made.
   *
   * @throws NoAnswerError There is none left (`DeadlineError`: no time is left for it).
   */
  async next(askedS: number): Promise<void> {
    if (this.#isLate) throw this.#ended(DeadlineError, "the end of the deadline", askedS);
    if (this.made > this.policy.retriesMax) {
      throw this.#ended(NoAnswerError, `none in ${this.made} attempts`, askedS);
    }
    const seconds = this.made === 0 ? 0 : waitS(this.policy, this.made, this.random, askedS);
    if (seconds * 1000 >= this.#leftMs()) throw this.#ended(DeadlineError, "the end of the deadline", askedS);
    if (this.made > 0) await this.wait(seconds, this.signal);
    this.made += 1;
  }

  /** Return the server with what is left of the deadline as the bound of the next request. */
  within(server: Server): Server {
    const leftS = this.#leftMs() / 1000;
    this.#isLast = leftS <= server.timeoutS;
    return { ...server, timeoutS: Math.min(server.timeoutS, Math.max(0.001, leftS)) };
  }

  /** Note an answer that is not final, and return how long the server asked for. */
  open(answer: Answer): number {
    this.#last = { code: answer.code, status: answer.status };
    return answer.retryAfterS ?? 0;
  }

  /** Note that no whole answer came, and return how long the server asked for. */
  failed(error: UnavailableError): number {
    if (error instanceof NoAnswerError) throw error;
    this.#last = { ...this.#last, cause: error };
    this.#isLate = this.#isLast && error instanceof TooSlowError;
    return error.retryAfterS ?? 0;
  }

  #leftMs(): number {
    return this.#endsAtMs - performance.now();
  }

  #ended(kind: typeof NoAnswerError, got: string, askedS: number): NoAnswerError {
    const { status, code } = this.#last;
    const said = status === null ? "" : `, last ${status} ${code ?? ""}`.trimEnd();
    return new kind(`${this.where}: expected a final answer, got ${got}${said}`, {
      ...this.#last,
      attempts: this.made,
      retryAfterS: askedS > 0 ? askedS : null,
    });
  }
}
