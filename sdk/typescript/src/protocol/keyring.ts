/**
 * The keyring: whose keys sign, whose tokens and certificates speak, and in which time.
 *
 * A ring is read whole or not at all: one wrong entry refuses it. The algorithm and the tenant
 * belong to the key, never to a message. A refusal names the entry and the member and holds no
 * value, since an operator may well have put a secret where a name belongs.
 */

import { sha256 } from "#platform";
import { isUnicode } from "./canonical.js";
import { ContractError, KeyringError, Refusal } from "./errors.js";
import { Entry } from "./keyring-entry.js";
import { ed25519Public, isStrictPoint } from "./signing.js";
import { parseJson, RECORD_DEPTH_MAX } from "./strict-json.js";
import { HASH, KID } from "./structure.js";
import { areEqual, decodeBase64, hex, utf8 } from "./text.js";

/** Bytes of a keyring. */
export const KEYRING_BYTES_MAX = 16 << 20;

/** Bytes an HMAC secret must have to sign or verify a record of version 1.0. */
export const HMAC_SECRET_BYTES_MIN = 32;

/** Of one tenant: a record of version 0.1 names no key, and a forged one is tried with all. */
export const LEGACY_KEYS_MAX = 8;

/** How a key signs. */
export type Alg = "hmac-sha256" | "ed25519";

/** What a caller may ask for. */
export type Scope = "submit" | "read" | "operate";

const ALGS = ["hmac-sha256", "ed25519"] as const satisfies readonly Alg[];
const SCOPES = ["submit", "read", "operate"] as const satisfies readonly Scope[];
const BASE64 = "base64:";

/** What a key is made of. */
export interface KeyMembers {
  /** What a record calls it, `[A-Za-z0-9._-]{1,64}`. */
  readonly kid: string;
  readonly tenant: string;
  readonly alg: Alg;
  /** 32 bytes for Ed25519, none for HMAC. */
  readonly publicKey?: Uint8Array | null;
  /** The HMAC secret, or the 32-byte Ed25519 seed where this key can sign. */
  readonly secret?: Uint8Array | null;
  /** First millisecond since 1970 it is valid at; none for always. */
  readonly notBeforeMs?: number | null;
  /** The last one; none for ever. */
  readonly notAfterMs?: number | null;
  /** Also tried on records of version 0.1, for which a secret of any length will do. */
  readonly legacy?: boolean;
}

/** One key of a tenant. Its secret is in no listing and in no JSON of it. */
export class Key {
  readonly kid: string;
  readonly tenant: string;
  readonly alg: Alg;
  readonly publicKey: Uint8Array | null;
  readonly notBeforeMs: number | null;
  readonly notAfterMs: number | null;
  readonly legacy: boolean;
  readonly #secret: Uint8Array | null;

  constructor(members: KeyMembers) {
    this.kid = members.kid;
    this.tenant = members.tenant;
    this.alg = members.alg;
    this.publicKey = members.publicKey ?? null;
    this.notBeforeMs = members.notBeforeMs ?? null;
    this.notAfterMs = members.notAfterMs ?? null;
    this.legacy = members.legacy ?? false;
    this.#secret = members.secret ?? null;
  }

  /** The HMAC secret or the Ed25519 seed. */
  get secret(): Uint8Array | null {
    return this.#secret;
  }

  /** Whether the secret is too short for anything but records of version 0.1. */
  get isShort(): boolean {
    const secret = this.#secret;
    return this.alg === "hmac-sha256" && secret !== null && secret.length < HMAC_SECRET_BYTES_MIN;
  }

  /** Returns whether the key is valid at a time in milliseconds since 1970; bounds count. */
  isValidAt(ms: number): boolean {
    return (
      (this.notBeforeMs === null || this.notBeforeMs <= ms) &&
      (this.notAfterMs === null || ms <= this.notAfterMs)
    );
  }
}

/** A bearer token or a client certificate of a tenant, known by its SHA-256 only. */
export interface Identity {
  readonly tenant: string;
  readonly scopes: ReadonlySet<Scope>;
}

/** Every key by its kid, every token and every client certificate by its SHA-256 in hex. */
export class Keyring {
  readonly #legacyKeys = new Map<string, Key[]>();

  constructor(
    readonly keys: ReadonlyMap<string, Key>,
    readonly tokens: ReadonlyMap<string, Identity> = new Map(),
    readonly certificates: ReadonlyMap<string, Identity> = new Map(),
  ) {
    for (const key of keys.values()) {
      if (!key.legacy) continue;
      const others = this.#legacyKeys.get(key.tenant);
      if (others === undefined) this.#legacyKeys.set(key.tenant, [key]);
      else others.push(key);
    }
  }

  /** Returns the key of that name. */
  key(kid: string): Key | undefined {
    return this.keys.get(kid);
  }

  /** Returns the keys a tenant's records of version 0.1 are tried with, in the ring's order. */
  legacyKeys(tenant: string): readonly Key[] {
    return this.#legacyKeys.get(tenant) ?? [];
  }

  /**
   * Returns whose token a bearer text is.
   *
   * Looked up by its digest: what the time taken may tell is a digest's, which gives no token.
   */
  token(bearer: string): Identity | undefined {
    // A lone surrogate has no UTF-8 form; the encoder would make another text of it.
    if (!isUnicode(bearer)) return undefined;
    return this.tokens.get(hex(sha256(utf8(bearer))));
  }

  /** Returns whose client certificate these DER bytes are. */
  certificate(der: Uint8Array): Identity | undefined {
    return this.certificates.get(hex(sha256(der)));
  }
}

/** Returns the bytes an `env:NAME` or `file:PATH` stands for, or throws `KeyringError`. */
export type Resolve = (where: string) => Uint8Array;

/**
 * Returns the keyring these bytes hold.
 *
 * @param data strict JSON, `{"keys": […], "tokens": […], "certificates": […]}`; the last two may be
 *     absent.
 * @param resolve where it is not given, `env:` and `file:` are refused. What it returns is the
 *     secret as it is, unless it starts with `base64:`: then the rest, up to one line end, is decoded.
 * @throws KeyringError It breaks a rule; the error names the entry and the member.
 */
export function parseKeyring(data: Uint8Array, resolve: Resolve = nothingOutside): Keyring {
  if (data.length > KEYRING_BYTES_MAX) {
    throw new KeyringError(
      `keyring: expected at most ${KEYRING_BYTES_MAX} bytes, got ${data.length}`,
    );
  }
  const top = new Entry(parsed(data), "keyring");
  const keyEntries = top.array("keys");
  const tokens = identities(top, "tokens");
  const certificates = identities(top, "certificates");
  top.finish();
  const keys = new Map<string, Key>();
  const legacyCounts = new Map<string, number>();
  for (const [index, item] of keyEntries.entries()) {
    const entry = new Entry(item, `keys[${index}]`);
    const key = keyOf(entry, resolve);
    if (keys.has(key.kid)) entry.refuse("kid", "each once", "one again");
    keys.set(key.kid, key);
    const legacyCount = (legacyCounts.get(key.tenant) ?? 0) + (key.legacy ? 1 : 0);
    legacyCounts.set(key.tenant, legacyCount);
    if (legacyCount > LEGACY_KEYS_MAX) {
      entry.refuse("legacy", `at most ${LEGACY_KEYS_MAX} of a tenant`, "more");
    }
  }
  return new Keyring(keys, tokens, certificates);
}

function parsed(data: Uint8Array): unknown {
  try {
    return parseJson(data, RECORD_DEPTH_MAX);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new KeyringError(`keyring: expected strict JSON, got ${error.reason}`);
  }
}

function nothingOutside(where: string): never {
  throw new KeyringError(`expected no ${where.slice(0, where.indexOf(":"))}, got one`);
}

function keyOf(entry: Entry, resolve: Resolve): Key {
  const kid = entry.match("kid", KID);
  entry.kid = kid;
  const tenant = entry.match("tenant", KID);
  const alg = entry.oneOf("alg", ALGS);
  const legacy = entry.boolean("legacy");
  const stated = statedPublic(entry);
  const secret = secretOf(entry, resolve);
  const notBeforeMs = entry.timestamp("not_before");
  const notAfterMs = entry.timestamp("not_after");
  entry.finish();
  if (notBeforeMs !== null && notAfterMs !== null && notBeforeMs > notAfterMs) {
    entry.refuse("not_after", "a time from not_before on", "an earlier one");
  }
  let publicKey: Uint8Array | null = null;
  if (alg === "hmac-sha256") checkHmac(entry, stated, secret, legacy);
  else publicKey = checkedPublic(entry, stated, secret);
  return new Key({ kid, tenant, alg, publicKey, secret, notBeforeMs, notAfterMs, legacy });
}

function checkHmac(
  entry: Entry,
  stated: Uint8Array | null,
  secret: Uint8Array | null,
  isLegacy: boolean,
): void {
  if (stated !== null) entry.refuse("public", "none for hmac-sha256", "one");
  if (secret === null) entry.refuse("secret", "one for hmac-sha256", "none");
  const least = isLegacy ? 1 : HMAC_SECRET_BYTES_MIN;
  if (secret.length < least) entry.refuse("secret", `at least ${least} bytes`, `${secret.length}`);
}

function checkedPublic(
  entry: Entry,
  stated: Uint8Array | null,
  seed: Uint8Array | null,
): Uint8Array {
  if (seed !== null) {
    if (seed.length !== 32) entry.refuse("secret", "a seed of 32 bytes", `${seed.length}`);
    const derived = ed25519Public(seed);
    if (stated !== null && !areEqual(stated, derived)) {
      entry.refuse("public", "the public key of the secret", "another key");
    }
    return derived;
  }
  if (stated === null) entry.refuse("public", "a public key or a secret for ed25519", "neither");
  if (stated.length !== 32) entry.refuse("public", "32 bytes", `${stated.length}`);
  // With a point of small order one signature verifies for many messages.
  if (!isStrictPoint(stated)) entry.refuse("public", "a canonical point of large order", "another");
  return stated;
}

function statedPublic(entry: Entry): Uint8Array | null {
  if (!entry.has("public")) return null;
  const text = entry.text("public");
  if (!text.startsWith(BASE64)) entry.refuse("public", "base64:…", "another text");
  return decoded(entry, "public", text);
}

function secretOf(entry: Entry, resolve: Resolve): Uint8Array | null {
  if (!entry.has("secret")) return null;
  const text = entry.text("secret");
  if (text.startsWith(BASE64)) return decoded(entry, "secret", text);
  if (!text.startsWith("env:") && !text.startsWith("file:")) {
    entry.refuse("secret", "base64:…, env:NAME or file:PATH", "another text");
  }
  let value: Uint8Array;
  try {
    value = resolve(text);
  } catch (error) {
    if (!(error instanceof KeyringError)) throw error;
    entry.refuseAs("secret", error.message);
  }
  if (!areEqual(value.subarray(0, BASE64.length), utf8(BASE64))) return value;
  // Byte by byte: what is not ASCII is no base64, whatever UTF-8 would make of it.
  const line = [...value].map((byte) => String.fromCharCode(byte)).join("");
  return decoded(entry, "secret", line.replace(/\r?\n$/, ""));
}

function decoded(entry: Entry, member: string, text: string): Uint8Array {
  try {
    return decodeBase64(text.slice(BASE64.length));
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    return entry.refuse(member, "standard base64 with padding after base64:", "another text");
  }
}

function identities(top: Entry, member: string): ReadonlyMap<string, Identity> {
  const found = new Map<string, Identity>();
  for (const [index, item] of (top.has(member) ? top.array(member) : []).entries()) {
    const entry: Entry = new Entry(item, `${member}[${index}]`);
    const tenant = entry.match("tenant", KID);
    const sha256 = entry.match("sha256", HASH);
    const scopes = new Set<Scope>();
    for (const scope of entry.array("scopes")) {
      const known = SCOPES.find((each) => each === scope);
      if (known === undefined || scopes.has(known)) {
        entry.refuse("scopes", `${SCOPES.join(", ")}, each at most once`, "something else");
      }
      scopes.add(known);
    }
    entry.finish();
    if (found.has(sha256)) entry.refuse("sha256", "each once", "one again");
    found.set(sha256, { tenant, scopes });
  }
  return found;
}
