/** The Fractal LBA core as WebAssembly. Times are `YYYY-MM-DDTHH:MM:SS.mmmZ`; hashes of bytes are 32 long. */

/** What the core refuses; `message` reads `where: expected X, got Y` and holds no payload and no secret. */
export declare class Refused extends Error {
  /** A record, a keyring, a window, or another input that breaks its rule. */
  readonly kind: "record" | "keyring" | "window" | "contract";
  /** Of a record: the stable code. */
  readonly code?: string;
  /** Of a record and of other inputs: the rule. */
  readonly reason?: string;
  /** Of a record or a keyring: the path of the member. */
  readonly member?: string | null;
  /** Of a keyring: the entry, `keys[2]`. */
  readonly entry?: string;
  /** Of a window: the row of the first bad value, from 0. */
  readonly row?: number | null;
  /** Of a window: its column, from 0. */
  readonly column?: number | null;
}

/** 42 */
export declare const DEFAULT_SEED: number;
/** 2, 4, 8, 16, 32 */
export declare const DEFAULT_SCALES: readonly number[];
/** Open objects and arrays of any JSON document, the outermost being 1. */
export declare const JCS_DEPTH_MAX: number;
/** Open objects and arrays of a record. */
export declare const RECORD_DEPTH_MAX: number;

/** Returns the standard base64 text of bytes, with padding. */
export declare function encodeBase64(bytes: Uint8Array): string;
/** Returns the bytes of a base64 text. */
export declare function decodeBase64(text: string): Uint8Array;

/** Returns the core; `source` is the module's bytes, or left out to load what lies beside the loader. */
export declare function load(source?: BufferSource): Promise<FractalLba>;

/** A JSON value, as `JSON.stringify` takes it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** What a record is called and what is signed of it. */
export interface RecordNames {
  readonly kid: string;
  readonly pcs_id: string;
  readonly record_digest: string;
  readonly content_digest: string;
  readonly stored: Uint8Array;
  readonly signing_input: Uint8Array;
}

/** The verdict on a record. */
export interface Outcome {
  readonly status: 200 | 202 | 422;
  readonly accepted: boolean;
  readonly escalated: boolean;
  readonly reasons: readonly string[];
  readonly recomputed_D_hat: number | null;
  readonly recomputed_budget: number;
  readonly params_version: string;
  readonly decision_body: Uint8Array;
}

/** A record whose signature holds, and the verdict on it. The last three are of version 0.1 only. */
export interface Authenticated extends Outcome {
  readonly tenant: string;
  readonly kid: string;
  readonly pcs_id: string;
  readonly record_digest: string;
  readonly content_digest: string;
  readonly stored: Uint8Array;
  readonly as_python?: Uint8Array;
  readonly as_ecmascript?: Uint8Array;
  readonly remembered?: boolean;
}

/** The members of a record that come from its window, under their names on the wire. */
export interface Summary {
  readonly profile: "points/1" | "bytes/1";
  readonly n: number;
  readonly d: number;
  readonly seed: number;
  readonly scales: readonly number[];
  readonly N_j: { readonly [scale: string]: number };
  readonly D_hat: number;
  readonly coh_star: number;
  readonly r: number;
  readonly budget: number;
  readonly v_star: readonly [number, number, number];
  readonly regime: "sticky" | "mixed" | "non_sticky";
  readonly merkle_root: string;
}

/** One signature to verify: a public key of 32 bytes, and a signature of 64. */
export interface SignedMessage {
  readonly public: Uint8Array;
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
}

/** Signs records under one key. */
export interface Signer {
  /** Returns the stored bytes of the signed record with these members; `kid`, `pcs_id` and `sig` are added. */
  sign(members: { readonly [name: string]: Json }): Uint8Array;
  /** Forgets the key. */
  free(): void;
}

/** A tenant that a token or a certificate speaks for. */
export interface Identity {
  readonly tenant: string;
  readonly scopes: readonly string[];
}

/** Keys by which records are verified, and signed where their secrets are known. */
export interface Keyring {
  readonly keys: readonly {
    readonly kid: string;
    readonly tenant: string;
    readonly alg: "hmac-sha256" | "ed25519";
    readonly public: Uint8Array | null;
    readonly legacy: boolean;
  }[];
  readonly tokens: readonly Identity[];
  readonly certificates: readonly Identity[];
  /**
   * Returns the record a body holds, with the key that verified it. Without `legacyTenant` version 0.1 is
   * refused; with `receivedAt` the key must have been valid then.
   */
  authenticate(
    body: Uint8Array,
    options?: { readonly legacyTenant?: string | null; readonly receivedAt?: string | null },
  ): Authenticated;
  /**
   * Returns the signer of the key of that name, of which the ring must hold the secret. It is held by itself: freed
   * apart from the keyring.
   */
  signer(kid: string): Signer;
  /** Forgets the keys. */
  free(): void;
}

/** How a window is measured: a seed of 0 to 2^53 − 1, and 2 to 10 scales of 2 to 1,024. */
export interface Measure {
  readonly seed?: number;
  readonly scales?: readonly number[];
}

/** The core's functions. Each throws `Refused` for what breaks a rule. */
export interface FractalLba {
  /** Returns the canonical bytes (RFC 8785) of a strict JSON document. */
  canonical(document: Uint8Array, depthMax?: number): Uint8Array;
  /** Returns the names of the record of version 1.0 that a body holds; no signature is checked. */
  parseRecord(body: Uint8Array): RecordNames;
  /** Returns the verdict on the record of version 1.0 that a body holds; no signature is checked. */
  judge(body: Uint8Array): Outcome;
  /** Returns the id of a window, in hexadecimal. */
  pcsId(merkleRoot: string, epoch: number, shardId: string): string;
  /** Returns the Merkle root over leaves (RFC 6962). */
  merkleRoot(leaves: readonly Uint8Array[]): Uint8Array;
  /** Returns the hashes that lead from a leaf to the root. */
  inclusionProof(leaves: readonly Uint8Array[], index: number): Uint8Array[];
  /** Checks that a leaf stands in a tree. */
  verifyInclusion(claim: {
    readonly root: Uint8Array;
    readonly size: number;
    readonly index: number;
    readonly leafHash: Uint8Array;
    readonly proof: readonly Uint8Array[];
  }): void;
  /** Checks that one tree grew from another. */
  verifyConsistency(claim: {
    readonly size1: number;
    readonly size2: number;
    readonly root1: Uint8Array;
    readonly root2: Uint8Array;
    readonly proof: readonly Uint8Array[];
  }): void;
  /** Returns a record's point on the ring, and the shard that owns it. */
  ring(
    shards: readonly { readonly name: string; readonly weight: number }[],
    tenant: string,
    pcsId: string,
  ): { readonly point: number; readonly owner: string };
  /** Returns the 32-byte HMAC-SHA256 tag of a message. */
  signHmac(secret: Uint8Array, message: Uint8Array): Uint8Array;
  /** Returns whether the whole tag is the message's. */
  verifyHmac(secret: Uint8Array, message: Uint8Array, tag: Uint8Array): boolean;
  /** Returns the public key of a 32-byte seed. */
  ed25519Public(seed: Uint8Array): Uint8Array;
  /** Returns the 64-byte signature of a message by a 32-byte seed. */
  signEd25519(seed: Uint8Array, message: Uint8Array): Uint8Array;
  /** Returns whether a signature holds under the strict rule. */
  verifyEd25519(signed: SignedMessage): boolean;
  /** Returns for each signature what `verifyEd25519` says of it. */
  verifyEd25519Batch(signed: readonly SignedMessage[]): boolean[];
  /** Returns the summary of a table: its rows one after the other, each of so many columns. */
  summarisePoints(values: ArrayLike<number>, columns: number, measure?: Measure): Summary;
  /** Returns the summary of 3 to 65,536 bytes. */
  summariseBytes(data: Uint8Array, measure?: Measure): Summary;
  /** Returns a signer: an HMAC secret of at least 32 bytes, or an Ed25519 seed of 32. */
  signer(alg: "hmac-sha256" | "ed25519", kid: string, secret: Uint8Array): Signer;
  /** Returns the keyring a file's bytes hold; `secrets` are what its `env:` and `file:` stand for. */
  keyring(file: Uint8Array, secrets?: { readonly [name: string]: Uint8Array }): Keyring;
}
