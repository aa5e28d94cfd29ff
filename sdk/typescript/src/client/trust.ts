/**
 * A server that is not the one meant, or one that does not take this client: by the certificates of TLS.
 *
 * Node says it by a code of OpenSSL's, Deno in the words of its TLS. A browser says nothing of it, so there it
 * is no answer like any other. What the server says of itself, its names among it, is not repeated.
 */

import { FractalError } from "../protocol/errors.js";

/**
 * The server has no certificate that is trusted for the host in the URL and valid now, and was sent nothing; or
 * it refuses this client's. No attempt can succeed before that is mended; the same bytes may be sent then.
 */
export class UntrustedError extends FractalError {
  override name = "UntrustedError";
}

const AUTHORITY = "expected a certificate of an authority that is trusted, got one of another";
const NAME = "expected a certificate for the host in the URL, got one for another name";
const EXPIRED = "expected a certificate that is valid now, got one that has expired";
const EARLY = "expected a certificate that is valid now, got one that is not valid yet";
const REVOKED = "expected a certificate that is valid, got one that was revoked";
const OTHER = "expected a certificate that can be trusted, got one that cannot";
const WANTED = "expected a server that takes this client, got one that requires a client certificate";
const REFUSED = "expected a server that takes this client, got one that refuses its certificate";

/** Node: by the whole code. */
const CODES: ReadonlyMap<string, string> = new Map([
  ["DEPTH_ZERO_SELF_SIGNED_CERT", AUTHORITY],
  ["SELF_SIGNED_CERT_IN_CHAIN", AUTHORITY],
  ["UNABLE_TO_GET_ISSUER_CERT", AUTHORITY],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", AUTHORITY],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", AUTHORITY],
  ["ERR_TLS_CERT_ALTNAME_INVALID", NAME],
  ["HOSTNAME_MISMATCH", NAME],
  ["CERT_HAS_EXPIRED", EXPIRED],
  ["CERT_NOT_YET_VALID", EARLY],
  ["CERT_REVOKED", REVOKED],
  ["CERT_CHAIN_TOO_LONG", OTHER],
  ["CERT_REJECTED", OTHER],
  ["CERT_SIGNATURE_FAILURE", OTHER],
  ["CERT_UNTRUSTED", OTHER],
  ["ERROR_IN_CERT_NOT_AFTER_FIELD", OTHER],
  ["ERROR_IN_CERT_NOT_BEFORE_FIELD", OTHER],
  ["INVALID_CA", OTHER],
  ["INVALID_PURPOSE", OTHER],
  ["PATH_LENGTH_EXCEEDED", OTHER],
  ["UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY", OTHER],
  ["UNABLE_TO_DECRYPT_CERT_SIGNATURE", OTHER],
]);
/** Node: the alerts of a server that wants a certificate of the client, or another one. */
const ALERT = /^ERR_SSL_(?:SSLV3|TLSV1|TLSV13)_ALERT_(\w+)$/;
const ALERTS: ReadonlyMap<string, string> = new Map([
  ["CERTIFICATE_REQUIRED", WANTED],
  ["NO_CERTIFICATE", REFUSED],
  ["BAD_CERTIFICATE", REFUSED],
  ["UNSUPPORTED_CERTIFICATE", REFUSED],
  ["CERTIFICATE_REVOKED", REFUSED],
  ["CERTIFICATE_EXPIRED", REFUSED],
  ["CERTIFICATE_UNKNOWN", REFUSED],
  ["UNKNOWN_CA", REFUSED],
  ["ACCESS_DENIED", REFUSED],
]);

/** Deno: what stands behind the URL, which has no spaces of its own. */
const DENO = /(?:^| client error \(Connect\): )invalid peer certificate: (.*)$/s;
const DENO_WORDS: readonly (readonly [RegExp, string])[] = [
  [/^UnknownIssuer/, AUTHORITY],
  [/^(certificate not valid for name|NotValidForName)/, NAME],
  [/^(certificate expired|Expired)/, EXPIRED],
  [/^(certificate not valid yet|NotValidYet)/, EARLY],
  [/^Revoked/, REVOKED],
];
const DENO_ALERT = /(?:^|: )received fatal alert: (\w+)$/;
const DENO_ALERTS: ReadonlyMap<string, string> = new Map([
  ["CertificateRequired", WANTED],
  ["NoCertificate", REFUSED],
  ["BadCertificate", REFUSED],
  ["UnsupportedCertificate", REFUSED],
  ["CertificateRevoked", REFUSED],
  ["CertificateExpired", REFUSED],
  ["CertificateUnknown", REFUSED],
  ["UnknownCA", REFUSED],
  ["AccessDenied", REFUSED],
]);

/**
 * Look at what a request failed with.
 *
 * @param where The request, for people.
 * @throws UntrustedError The certificates are why.
 */
export function checkTrust(where: string, failure: unknown): void {
  const said = distrust(failure);
  if (said !== null) throw new UntrustedError(`${where}: ${said}`);
}

function distrust(failure: unknown): string | null {
  const cause = failure instanceof Error && failure.cause instanceof Error ? failure.cause : failure;
  if (!(cause instanceof Error)) return null;
  if ("code" in cause && typeof cause.code === "string") {
    return CODES.get(cause.code) ?? ALERTS.get(ALERT.exec(cause.code)?.[1] ?? "") ?? null;
  }
  const certificate = DENO.exec(cause.message)?.[1];
  if (certificate !== undefined) return DENO_WORDS.find(([form]) => form.test(certificate))?.[1] ?? OTHER;
  return DENO_ALERTS.get(DENO_ALERT.exec(cause.message)?.[1] ?? "") ?? null;
}
