/**
 * One request and its answer over `fetch`.
 *
 * Four rules: a redirect is not followed, an answer's size is bounded, nothing is cached or sent with
 * cookies, and no error holds a body or a token.
 */

import { ContractError, UnavailableError } from "../protocol/errors.js";
import { Answer, parseRetryAfter } from "./answer.js";
import { TooSlowError } from "./failures.js";
import { timerMs } from "./retry.js";
import { type SchemeCheck, SchemeError } from "./scheme.js";
import { checkTrust } from "./trust.js";

/**
 * A read answer is the largest: a record of at most 64 KiB, its outcome and at most 8 conflicts of
 * 64 KiB.
 */
export const ANSWER_BYTES_MAX = 1 << 20;

/** An answer is asked for as it is: what undoes a broken stream may end without a word. */
const PLAIN = { "Accept-Encoding": "identity" };

/**
 * Tell whether the platform is a browser, which says itself what it accepts, undoes it, and fails where
 * it is broken. It shows it by taking away the header that a page may not set.
 */
function isBrowser(): boolean {
  return !new globalThis.Request("http://localhost", { headers: PLAIN }).headers.has("Accept-Encoding");
}

/** What is asked. */
export interface Request {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly query?: URLSearchParams;
  readonly body?: Uint8Array<ArrayBuffer>;
  readonly headers: Readonly<Record<string, string>>;
  readonly answerBytesMax?: number;
}

/** Whom to ask, and how long to wait for one whole answer. */
export interface Server {
  readonly baseUrl: string;
  readonly fetch: typeof globalThis.fetch;
  readonly timeoutS: number;
  readonly scheme: SchemeCheck;
}

/**
 * Ask once and return the answer, whatever its status.
 *
 * @throws UnavailableError No whole answer came (refused, cut, too slow, too large, a redirect).
 *   Whether the server has what was sent is unknown.
 * @throws SchemeError The server does not speak the scheme of its URL.
 * @throws UntrustedError The server is not trusted, or does not trust this client.
 * @throws The signal's reason when it is aborted.
 */
export async function exchange(server: Server, request: Request, signal?: AbortSignal): Promise<Answer> {
  signal?.throwIfAborted();
  const where = `${request.method} ${server.baseUrl}${request.path}`;
  const limit = new AbortController();
  const stop = (): void => limit.abort();
  const timer = setTimeout(stop, timerMs(server.timeoutS));
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const query = request.query?.toString() ?? "";
    const response = await server.fetch(server.baseUrl + request.path + (query === "" ? "" : `?${query}`), {
      method: request.method,
      headers: { ...request.headers, ...PLAIN },
      body: request.body ?? null,
      redirect: "manual",
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      signal: limit.signal,
    });
    // A browser hides the status of a redirect that is not followed.
    if (response.type === "opaqueredirect" || Math.trunc(response.status / 100) === 3) {
      await response.body?.cancel();
      throw new UnavailableError(`${where}: expected an answer, got a redirect`);
    }
    const encoding = response.headers.get("Content-Encoding")?.trim().toLowerCase() ?? "identity";
    if (encoding !== "identity" && !isBrowser()) {
      await response.body?.cancel();
      throw new UnavailableError(`${where}: expected an answer that is not compressed, got one that is`);
    }
    const answer = answerOf(response, await readBounded(response, where, request.answerBytesMax ?? ANSWER_BYTES_MAX));
    if (answer.code === null) await server.scheme.check(where, server, answer.status, limit.signal);
    return answer;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof UnavailableError || error instanceof SchemeError) throw error;
    if (limit.signal.aborted) {
      throw new TooSlowError(`${where}: expected an answer, got none within ${server.timeoutS} s`, null, { cause: error });
    }
    checkTrust(where, error);
    await server.scheme.check(where, server, error, limit.signal);
    throw new UnavailableError(`${where}: expected an answer, got ${wordOf(error)}`, null, { cause: error });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

function answerOf(response: Response, body: Uint8Array): Answer {
  const { headers, status } = response;
  return new Answer({
    status,
    body,
    replayed: headers.get("Idempotent-Replayed")?.trim().toLowerCase() === "true",
    receivedAt: headers.get("X-Received-At"),
    retryAfterS: parseRetryAfter(headers.get("Retry-After"), headers.get("Date"), Date.now()),
  });
}

/** Return the whole body, or throw when it is longer than an answer of ours. */
async function readBounded(response: Response, where: string, bytesMax: number): Promise<Uint8Array> {
  if (response.body === null) return new Uint8Array(0);
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > bytesMax) {
      await reader.cancel();
      throw new UnavailableError(`${where}: expected an answer of at most ${bytesMax} bytes, got more`);
    }
    chunks.push(value);
  }
  const body = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

/** Return what happened to a connection as a word (`ECONNREFUSED`): a message could quote anything. */
function wordOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return "a failure";
  return "code" in cause && typeof cause.code === "string" ? cause.code : cause.name;
}

/**
 * Return a server's address without a slash at its end.
 *
 * @throws ContractError It is not one, or holds a user, a password, a query or a fragment.
 */
export function checkedUrl(text: string): string {
  const expected = "server URL: expected http://HOST:PORT or https://HOST:PORT";
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new ContractError(`${expected}, got something else`);
  }
  // Said without repeating the text: a URL with a user may hold a password.
  if (url.username !== "" || url.password !== "") {
    throw new ContractError("server URL: expected no user or password in it, got one");
  }
  if (!["http:", "https:"].includes(url.protocol)) throw new ContractError(`${expected}, got ${url.protocol}`);
  if (url.search !== "" || url.hash !== "") {
    throw new ContractError("server URL: expected no query and no fragment, got one");
  }
  return url.href.replace(/\/+$/, "");
}
