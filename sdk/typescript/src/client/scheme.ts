/**
 * A URL with the other scheme than its server's: `https://` to one without TLS, `http://` to one with.
 *
 * The first shows in what the platform says of the handshake. The second does not: most servers with
 * TLS close a connection that speaks HTTP without a word, as one does that ends, and others answer 400.
 * So the server is asked once over TLS, with neither a record nor a token, whether it would answer.
 */

import { ContractError } from "../protocol/errors.js";

/**
 * The server does not speak the scheme of its URL: no attempt can succeed before that is mended.
 *
 * Over `http://` the record, and the token if there is one, went to the server unencrypted.
 */
export class SchemeError extends ContractError {
  override name = "SchemeError";
}

/** A handshake takes two round trips. */
const ASK_S = 5;
/**
 * Of a request's time so much stays for further attempts: a server without TLS may wait for the rest
 * of a request as long as it likes.
 */
const ASK_SHARE = 4;
const BAD_REQUEST = 400;

/** Node: no TLS record came, or one that cannot be. Deno: its TLS says so in words. */
const NO_TLS = /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$|corrupt message of type InvalidContentType/;
/** A connection that ended or brought something else before an answer. */
const NO_HTTP = /^(ECONNRESET|EPIPE|UND_ERR_SOCKET|HPE_\w+)$|connection closed before|invalid HTTP version/;
/** A certificate that is not trusted here, or none of ours that is wanted: TLS was spoken. */
const TLS = /^(DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|CERT_|ERR_TLS_CERT_|ERR_SSL_TLSV1\w*_ALERT_|ERR_SSL_SSLV3_ALERT_)|peer certificate|received fatal alert/;

/** A server as this asks of it. */
export interface Asked {
  readonly baseUrl: string;
  readonly fetch: typeof globalThis.fetch;
  readonly timeoutS: number;
}

/** Finds out, once for each server at the most, whether its URL has the wrong scheme. */
export class SchemeCheck {
  #isAsked = false;

  /**
   * Look at what a request failed with, or at a status without a `code`.
   *
   * @param where The request, for people.
   * @param limit Ends the asking, which ends by itself after some seconds.
   * @throws SchemeError The URL's scheme is not the server's.
   */
  async check(where: string, server: Asked, failure: unknown, limit: AbortSignal): Promise<void> {
    const word = typeof failure === "number" ? "" : wordOf(failure);
    const isSecure = server.baseUrl.startsWith("https:");
    if (isSecure && NO_TLS.test(word)) {
      throw new SchemeError(`${where}: expected a server that speaks TLS, got one that does not: is its URL http://?`);
    }
    const mayBeTls = failure === BAD_REQUEST || NO_HTTP.test(word);
    if (isSecure || !mayBeTls || this.#isAsked) return;
    this.#isAsked = true;
    if (await speaksTls(server, limit)) {
      throw new SchemeError(`${where}: expected a server that speaks HTTP without TLS, got one with: is its URL https://?`);
    }
  }
}

async function speaksTls(server: Asked, limit: AbortSignal): Promise<boolean> {
  const own = new AbortController();
  const stop = (): void => own.abort();
  const timer = setTimeout(stop, Math.min(ASK_S, server.timeoutS / ASK_SHARE) * 1000);
  limit.addEventListener("abort", stop, { once: true });
  try {
    const response = await server.fetch(new URL("/", server.baseUrl.replace("http:", "https:")).href, {
      method: "HEAD",
      redirect: "manual",
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      signal: own.signal,
    });
    await response.body?.cancel();
    return true;
  } catch (error) {
    return TLS.test(wordOf(error));
  } finally {
    clearTimeout(timer);
    limit.removeEventListener("abort", stop);
  }
}

/** Return the code of what ended a request, or what the platform says where it has none: never to be shown. */
function wordOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return "";
  if ("code" in cause && typeof cause.code === "string") return cause.code;
  return error instanceof Error ? `${error.message} ${cause.message}` : cause.message;
}
