/**
 * The client of one server: submit, batch, get and list, each repeated until its answer is final.
 *
 * It runs wherever there is a `fetch`: Node, Deno, browsers. A page may only talk to a server of its
 * own origin: the server sends no CORS headers, so serve both behind one address.
 */

import { ContractError, UnavailableError } from "../protocol/errors.js";
import { Answer } from "./answer.js";
import { Attempts } from "./attempts.js";
import { ANSWER_LINE_BYTES_MAX, joined, readLines } from "./batch.js";
import { ANSWER_BYTES_MAX, type Request, type Server, checkedUrl, exchange } from "./exchange.js";
import { BatchRefusedError, NoAnswerError } from "./failures.js";
import { RETRY_POLICY, type RetryPolicy, sleep } from "./retry.js";
import { SchemeCheck } from "./scheme.js";

/** How to speak to a server; what is left out has its default. */
export interface ClientOptions {
  /** Names the caller; submitting works without one. */
  readonly token?: string | null;
  /** Names the tenant of records of version 0.1. */
  readonly tenant?: string | null;
  /**
   * Bound for one request, connecting and reading its answer included, in seconds. Thirty are longer
   * than a server takes for a group commit on a struggling disk.
   */
  readonly timeoutS?: number;
  /** Bound for a call with all its attempts and waits, in seconds; `Infinity` for none. */
  readonly deadlineS?: number;
  readonly retry?: Partial<RetryPolicy>;
  /** In place of the platform's own. */
  readonly fetch?: typeof globalThis.fetch;
  /** Returns a number from 0 to before 1: where the jitter comes from. */
  readonly random?: () => number;
  /** Waits so many seconds, or throws the signal's reason. */
  readonly sleep?: (seconds: number, signal?: AbortSignal) => Promise<void>;
}

/** What one call may have of its own. */
export interface CallOptions {
  /** Ends the call with its reason. */
  readonly signal?: AbortSignal | undefined;
  readonly deadlineS?: number | undefined;
  readonly retriesMax?: number | undefined;
}

export interface BatchOptions extends CallOptions {
  /** How the lines are compressed; by default gzip where the platform has it. */
  readonly encoding?: "gzip" | null;
}

/** The parameters of a listing (`specs/http.md`, "Listings"). */
export type ListQuery = Readonly<
  Partial<
    Record<
      "shard_id" | "from_epoch" | "to_epoch" | "since" | "outcome" | "regime" | "cursor" | "limit",
      string | number
    >
  >
>;

const TIMEOUT_S = 30;
const DEADLINE_S = 120;
const OK = 200;

/** Speaks to one server. It keeps no connection of its own: there is nothing to close. */
export class Client {
  readonly #server: Server;
  readonly #headers: Readonly<Record<string, string>>;
  /** Returns a number from 0 to before 1: where the jitter comes from. */
  readonly random: () => number;
  readonly #sleep: (seconds: number, signal?: AbortSignal) => Promise<void>;
  readonly retry: RetryPolicy;
  readonly deadlineS: number;

  /**
   * @param url `http://HOST:PORT` or `https://…`, with a path prefix if the server has one.
   * @throws ContractError The address is not one of a server, or a bound is out of its range.
   */
  constructor(url: string, options: ClientOptions = {}) {
    const { token = null, tenant = null, timeoutS = TIMEOUT_S, deadlineS = DEADLINE_S } = options;
    this.retry = { ...RETRY_POLICY, ...options.retry };
    checkRange("timeoutS", timeoutS, 0.001);
    checkRange("deadlineS", deadlineS, 0);
    checkRange("retriesMax", this.retry.retriesMax, 0);
    for (const name of ["waitFirstS", "waitMaxS", "retryAfterMaxS"] as const) checkRange(name, this.retry[name], 0);
    // Called as a function of its own: a browser's fetch refuses another `this`.
    const fetch = options.fetch ?? ((...request) => globalThis.fetch(...request));
    this.#server = { baseUrl: checkedUrl(url), fetch, timeoutS, scheme: new SchemeCheck() };
    this.#headers = {
      ...(token === null ? {} : { Authorization: `Bearer ${checkedHeader("token", token)}` }),
      ...(tenant === null ? {} : { "X-Tenant-Id": checkedHeader("tenant", tenant) }),
    };
    this.random = options.random ?? Math.random;
    this.#sleep = options.sleep ?? sleep;
    this.deadlineS = deadlineS;
  }

  /**
   * Send one record and return the server's final answer: 2xx, or any 4xx but 408 and 429. A conflict
   * (409), a record beyond its horizon (410) and one that was not accepted (422) are such answers.
   *
   * @param body The record's bytes.
   * @throws NoAnswerError No final answer came within the attempts (`DeadlineError`: in time).
   * @throws SchemeError The server does not speak the scheme of its URL.
   * @throws UntrustedError The server is not trusted, or does not trust this client.
   * @throws The signal's reason when it is aborted.
   */
  async submit(body: Uint8Array, options: CallOptions = {}): Promise<Answer> {
    const request = this.#post("/v1/pcs/submit", "application/json", copied(body));
    return this.#untilFinal(request, options);
  }

  /**
   * Send 1 … 10,000 records in one request and return the answer to each, in order.
   *
   * Lines whose answer is not final (a tenant's quota, a disk that failed) are sent again by
   * themselves; where attempts or time end first, `isFinal` of their answers is false.
   *
   * @throws BatchRefusedError The whole was refused; nothing was said about any record.
   * @throws ContractError They are no batch; nothing was sent.
   * @throws NoAnswerError No whole answer came to any of it.
   */
  async batch(bodies: readonly Uint8Array[], options: BatchOptions = {}): Promise<Answer[]> {
    joined(bodies);
    const answers: (Answer | null)[] = bodies.map(() => null);
    const calls = this.#attempts("POST /v1/pcs/batch", options);
    let open = [...bodies.keys()];
    for (let asked = 0; ; ) {
      try {
        await calls.next(asked);
        const pieces = open.map((index) => bodies[index] as Uint8Array);
        const lines = await this.#batchOnce(pieces, options, calls);
        for (const [at, index] of open.entries()) {
          const line = lines[at] as Answer;
          answers[index] = new Answer({ ...line, attempts: calls.made });
        }
        open = open.filter((index) => !(answers[index] as Answer).isFinal);
        if (open.length === 0) return answers as Answer[];
        asked = Math.max(...open.map((index) => calls.open(answers[index] as Answer)));
      } catch (error) {
        if (!(error instanceof UnavailableError)) throw error;
        // What was answered is answered, final or not, once nothing more may be asked.
        if (error instanceof NoAnswerError && answers.every((answer) => answer !== null)) return answers as Answer[];
        asked = calls.failed(error);
      }
    }
  }

  /** Read back one record and its outcome; this needs a token with the scope `read`. */
  async get(pcsId: string, options: CallOptions & { readonly version?: string } = {}): Promise<Answer> {
    const query = new URLSearchParams({ version: options.version ?? "1.0" });
    return this.#untilFinal(this.#get(`/v1/pcs/${encodeURIComponent(pcsId)}`, query), options);
  }

  /** Return a page of the caller's records: `{"records": [...], "next": cursor|null}`. */
  async list(query: ListQuery = {}, options: CallOptions = {}): Promise<Answer> {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const parameters = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    return this.#untilFinal(this.#get("/v1/pcs", parameters), options);
  }

  #post(path: string, type: string, body: Uint8Array<ArrayBuffer>): Request {
    return { method: "POST", path, body, headers: { ...this.#headers, "Content-Type": type } };
  }

  #get(path: string, query: URLSearchParams): Request {
    return { method: "GET", path, query, headers: this.#headers };
  }

  #attempts(where: string, options: CallOptions): Attempts {
    const { retriesMax = this.retry.retriesMax, deadlineS = this.deadlineS, signal } = options;
    const policy = { ...this.retry, retriesMax };
    return new Attempts(where, policy, deadlineS, this.random, this.#sleep, signal);
  }

  async #untilFinal(request: Request, options: CallOptions): Promise<Answer> {
    const calls = this.#attempts(`${request.method} ${request.path}`, options);
    for (let asked = 0; ; ) {
      await calls.next(asked);
      try {
        const answer = await exchange(calls.within(this.#server), request, options.signal);
        if (answer.isFinal) return new Answer({ ...answer, attempts: calls.made });
        asked = calls.open(answer);
      } catch (error) {
        if (!(error instanceof UnavailableError)) throw error;
        asked = calls.failed(error);
      }
    }
  }

  async #batchOnce(bodies: readonly Uint8Array[], options: BatchOptions, calls: Attempts): Promise<Answer[]> {
    const { encoding = hasGzip() ? "gzip" : null } = options;
    const lines = joined(bodies);
    const plain = this.#post("/v1/pcs/batch", "application/x-ndjson", lines);
    const request: Request = {
      ...plain,
      answerBytesMax: Math.max(ANSWER_BYTES_MAX, bodies.length * ANSWER_LINE_BYTES_MAX),
      ...(encoding === null
        ? {}
        : { body: await gzipped(lines), headers: { ...plain.headers, "Content-Encoding": encoding } }),
    };
    const answer = await exchange(calls.within(this.#server), request, options.signal);
    if (answer.status === OK) return readLines(answer.body, bodies.length);
    if (answer.isFinal && answer.status >= 400) throw new BatchRefusedError(new Answer({ ...answer, attempts: calls.made }));
    calls.open(answer);
    throw new UnavailableError(
      `POST /v1/pcs/batch: expected 200 or a refusal, got ${answer.status}`,
      answer.retryAfterS,
    );
  }
}

function hasGzip(): boolean {
  return typeof CompressionStream === "function";
}

async function gzipped(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  if (!hasGzip()) throw new ContractError("batch: expected a platform with CompressionStream, got none");
  const stream = new Blob([data]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A view of its own: what a caller changes while it is sent changes nothing. */
function copied(body: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(body);
}

function checkRange(name: string, value: number, least: number): void {
  if (!(value >= least)) throw new ContractError(`${name}: expected ${least} or more, got ${value}`);
}

/** Said without repeating the value: a token is a secret. */
function checkedHeader(name: string, value: string): string {
  if (!/^[\x21-\x7e]+$/.test(value)) throw new ContractError(`${name}: expected visible ASCII, got something else`);
  return value;
}
