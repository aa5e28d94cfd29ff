/**
 * Ship an outbox: send what waits until each record has a final answer.
 *
 * The rules: a record leaves the outbox only by an answer that cannot change any more and speaks of
 * that very record, so that a proxy's friendly page is no acknowledgement and its error page no
 * refusal; what was not accepted is kept before its record leaves; what has no such answer still waits.
 */

import { type Answer, isAbout, isAccepted } from "../client/answer.js";
import type { Client } from "../client/client.js";
import { DeadlineError, NoAnswerError } from "../client/failures.js";
import { sleep, waitS } from "../client/retry.js";
import { ContractError, CorruptionError, Refusal, UnavailableError } from "../protocol/errors.js";
import { type PcsRecord, parseRecord, sentBytes } from "../protocol/record.js";
import { formatTimestamp } from "../protocol/timestamps.js";

/** What shipping needs of an outbox. */
export interface Shippable {
  /** The numbers of what waits, oldest first. */
  waiting(): Promise<readonly number[]>;
  /** Return a record's bytes, `null` where it has been answered meanwhile. */
  read(seq: number): Promise<Uint8Array | null>;
  /** Keep a record that was not accepted and its answer: durable when it returns; the record still waits. */
  refuse(seq: number, record: PcsRecord, answer: Answer): Promise<void>;
  acknowledge(seq: number, answer: { readonly status: number; readonly replayed: boolean }): Promise<void>;
}

/** The final answer to one record. */
export interface Shipped {
  readonly seq: number;
  readonly pcsId: string;
  readonly answer: Answer;
}

export interface ShipOptions {
  /** Ends shipping: what has its answer by then is returned. */
  readonly signal?: AbortSignal;
  /** How long to go on, in seconds; by default the client's. */
  readonly deadlineS?: number;
  /** Requests under way at once, 1 or more. */
  readonly inFlight?: number;
  /**
   * Told of each final answer with the record's bytes: when what was not accepted is kept, and before
   * the record leaves the outbox. Where it throws, shipping ends with that and the record still waits.
   */
  readonly onAnswer?: (shipped: Shipped, record: Uint8Array) => void | Promise<void>;
}

/** Enough to fill a group commit of the server from one machine. */
const IN_FLIGHT = 8;

/**
 * Send what waits over a client and return the answers in the order in which they came.
 *
 * It returns once everything that waited when it was called is answered, when the deadline ends, or
 * when the signal is aborted. Whoever appends meanwhile ships again.
 *
 * @throws DurabilityError The outbox failed; what was not acknowledged is sent again.
 */
export async function ship(outbox: Shippable, client: Client, options: ShipOptions = {}): Promise<Shipped[]> {
  const { inFlight = IN_FLIGHT, deadlineS = client.deadlineS } = options;
  if (!(inFlight >= 1)) throw new ContractError(`inFlight: expected 1 or more, got ${inFlight}`);
  const shipping = new Shipping(outbox, client, options, performance.now() + deadlineS * 1000);
  const line = [...(await outbox.waiting())];
  await Promise.all(Array.from({ length: Math.min(inFlight, line.length) }, () => shipping.run(line)));
  return shipping.shipped;
}

class Shipping {
  readonly shipped: Shipped[] = [];
  /** How often each record that still waits was sent. */
  readonly #attempts = new Map<number, number>();
  #failures = 0;
  #notBeforeMs = 0;
  #isOver = false;

  constructor(
    private readonly outbox: Shippable,
    private readonly client: Client,
    private readonly options: ShipOptions,
    private readonly endsAtMs: number,
  ) {}

  /** Send records of the line, which others share, until it is empty or time is over. */
  async run(line: number[]): Promise<void> {
    try {
      for (let seq = line.shift(); seq !== undefined; seq = line.shift()) {
        if (!(await this.#mayGoOn())) return;
        if (!(await this.#send(seq))) line.push(seq);
      }
    } catch (error) {
      this.#isOver = true;
      throw error;
    }
  }

  /** Return whether another request may be made, once the server may be asked again. */
  async #mayGoOn(): Promise<boolean> {
    for (;;) {
      const nowMs = performance.now();
      if (this.#isOver || this.options.signal?.aborted || nowMs >= this.endsAtMs) return false;
      if (nowMs >= this.#notBeforeMs) return true;
      if (this.#notBeforeMs >= this.endsAtMs) return false;
      await sleep((this.#notBeforeMs - nowMs) / 1000, this.options.signal).catch(() => undefined);
    }
  }

  /** Send a record once; false where it still waits for an answer. */
  async #send(seq: number): Promise<boolean> {
    const read = await this.#read(seq);
    if (read === null) return true;
    const { body, record } = read;
    const attempt = (this.#attempts.get(seq) ?? 0) + 1;
    this.#attempts.set(seq, attempt);
    const { signal } = this.options;
    let answer: Answer;
    try {
      const deadlineS = (this.endsAtMs - performance.now()) / 1000;
      const delivery = { attempt, sentAt: formatTimestamp(Date.now()), outboxSeq: seq };
      answer = await this.client.submit(sentBytes(record, delivery), { signal, deadlineS, retriesMax: 0 });
      if (!isAbout(answer, record.pcsId)) {
        throw new UnavailableError(`outbox: expected an answer about record ${seq}, got ${answer.status} of another form`);
      }
    } catch (error) {
      if (signal?.aborted) return false;
      if (!(error instanceof UnavailableError)) throw error;
      this.#back(error);
      return false;
    }
    this.#failures = 0;
    this.#attempts.delete(seq);
    const shipped = { seq, pcsId: record.pcsId, answer };
    if (!isAccepted(answer.status)) await this.outbox.refuse(seq, record, answer);
    await this.options.onAnswer?.(shipped, body);
    await this.outbox.acknowledge(seq, answer);
    this.shipped.push(shipped);
    return true;
  }

  /** Return a record that can be sent; one that cannot be read stays where it is, and so do the others. */
  async #read(seq: number): Promise<{ readonly body: Uint8Array; readonly record: PcsRecord } | null> {
    try {
      const body = await this.outbox.read(seq);
      return body === null ? null : { body, record: parseRecord(body) };
    } catch (error) {
      if (error instanceof CorruptionError || error instanceof Refusal) return null;
      throw error;
    }
  }

  /** Let everyone wait: whoever does not answer one record answers none, for the most part. */
  #back(error: UnavailableError): void {
    if (error instanceof DeadlineError) return;
    this.#failures += 1;
    const seconds = waitS(this.client.retry, this.#failures, this.client.random, error.retryAfterS ?? 0);
    const isAsked = error instanceof NoAnswerError && error.retryAfterS !== null;
    const notBeforeMs = performance.now() + seconds * 1000;
    // What the server asked for counts in full; of several that failed together the latest wait does.
    this.#notBeforeMs = isAsked ? Math.max(this.#notBeforeMs, notBeforeMs) : notBeforeMs;
  }
}
