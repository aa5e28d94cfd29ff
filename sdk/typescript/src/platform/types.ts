/**
 * What the package asks of the machine: hashes and Ed25519.
 *
 * Two modules have it, and `package.json` (`imports`, `#platform`) chooses: `node.ts` where
 * `node:crypto` is, which hashes several times faster, and `portable.ts` everywhere else. Both are
 * synchronous, and both give the same bytes.
 */
export interface Platform {
  /** Returns the 32 bytes of SHA-256 of the parts one after the other. */
  sha256(...parts: readonly Uint8Array[]): Uint8Array;
  /** Returns the 32-byte HMAC-SHA256 tag of a message (RFC 2104). */
  hmacSha256(secret: Uint8Array, message: Uint8Array): Uint8Array;
  /** Returns the 32-byte public key of a 32-byte seed (RFC 8032 section 5.1.5). */
  ed25519Public(seed: Uint8Array): Uint8Array;
  /** Returns the 64-byte signature of a message (RFC 8032 section 5.1.6, no pre-hash). */
  ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array;
  /**
   * Returns whether the cofactorless equation holds, R compared as bytes; false where the key is no
   * point. The caller has checked lengths, the scalar, and that A and R are strict.
   */
  ed25519Equation(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}
