/**
 * The Fractal LBA core as WebAssembly: loads the module and speaks to its raw exports.
 *
 * A request is written into the module's memory as JSON, and the answer read from there. Memory may grow,
 * and so its buffer change, with every call: a view of it is asked for anew.
 */

/** What the core refuses: `kind` says which rule book, the other members where and why. */
export class Refused extends Error {
  constructor({ message, ...members }) {
    super(message);
    this.name = "Refused";
    Object.assign(this, members);
  }
}

export const DEFAULT_SEED = 42;
export const DEFAULT_SCALES = Object.freeze([2, 4, 8, 16, 32]);
export const JCS_DEPTH_MAX = 64;
export const RECORD_DEPTH_MAX = 8;

// String.fromCharCode takes its characters as arguments, of which engines bound the number.
const CHARACTERS_AT_ONCE = 8192;

/** Returns the standard base64 text of bytes. */
export function encodeBase64(bytes) {
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`bytes: expected a Uint8Array, got ${typeof bytes}`);
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHARACTERS_AT_ONCE) {
    binary += String.fromCharCode(...bytes.subarray(at, at + CHARACTERS_AT_ONCE));
  }
  return btoa(binary);
}

/** Returns the bytes of a base64 text. */
export function decodeBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Returns the core; `source` is the module's bytes, or left out to load what lies beside this file. */
export async function load(source) {
  const module = await WebAssembly.compile(source ?? (await besideThis()));
  return new FractalLba(await WebAssembly.instantiate(module, {}));
}

async function besideThis() {
  const url = new URL("./dist/fractal_lba.wasm", import.meta.url);
  if (url.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return readFile(url).catch((error) => {
      if (error.code !== "ENOENT") throw error;
      const said = "dist/fractal_lba.wasm: expected the module beside index.js, got none: `make sdk-wasm` builds it";
      throw new Error(said, { cause: error });
    });
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`fractal_lba.wasm: expected status 200, got ${response.status}`);
  return response.arrayBuffer();
}

/** The core's functions. Bytes go in and come out as `Uint8Array`. */
class FractalLba {
  #exports;
  #encoder = new TextEncoder();
  #decoder = new TextDecoder();
  #memory = new Uint8Array();

  constructor(instance) {
    this.#exports = instance.exports;
  }

  /** Returns the module's memory as it is now: growing it takes its buffer away. */
  #view() {
    const { buffer } = this.#exports.memory;
    if (this.#memory.buffer !== buffer) this.#memory = new Uint8Array(buffer);
    return this.#memory;
  }

  /** Writes a request and returns its length in bytes, at most three for each UTF-16 unit. */
  #write(text) {
    const most = 3 * text.length;
    const at = this.#exports.reserve(most);
    return this.#encoder.encodeInto(text, this.#view().subarray(at, at + most)).written;
  }

  #answer(length) {
    const at = this.#exports.answer_at();
    return this.#view().subarray(at, at + length);
  }

  #call(request) {
    const length = this.#exports.call(this.#write(JSON.stringify(request)));
    const { ok, refused } = JSON.parse(this.#decoder.decode(this.#answer(length)));
    if (refused !== undefined) throw new Refused(refused);
    return ok;
  }

  #bytes(request) {
    return decodeBase64(this.#call(request));
  }

  canonical(document, depthMax = JCS_DEPTH_MAX) {
    return this.#bytes({ op: "canonical", document: encodeBase64(document), depth_max: depthMax });
  }

  parseRecord(body) {
    const { stored, signing_input, ...names } = this.#call({ op: "record", body: encodeBase64(body) });
    return { ...names, stored: decodeBase64(stored), signing_input: decodeBase64(signing_input) };
  }

  judge(body) {
    return withBytes(this.#call({ op: "judge", body: encodeBase64(body) }));
  }

  pcsId(merkleRoot, epoch, shardId) {
    return this.#call({ op: "pcs_id", merkle_root: merkleRoot, epoch, shard_id: shardId });
  }

  merkleRoot(leaves) {
    return this.#bytes({ op: "merkle_root", leaves: leaves.map(encodeBase64) });
  }

  inclusionProof(leaves, index) {
    const request = { op: "inclusion_proof", leaves: leaves.map(encodeBase64), index };
    return this.#call(request).map(decodeBase64);
  }

  verifyInclusion({ root, size, index, leafHash, proof }) {
    const hashes = { root: encodeBase64(root), leaf_hash: encodeBase64(leafHash) };
    this.#call({ op: "verify_inclusion", ...hashes, size, index, proof: proof.map(encodeBase64) });
  }

  verifyConsistency({ size1, size2, root1, root2, proof }) {
    const roots = { root1: encodeBase64(root1), root2: encodeBase64(root2) };
    const hashes = proof.map(encodeBase64);
    this.#call({ op: "verify_consistency", size1, size2, ...roots, proof: hashes });
  }

  ring(shards, tenant, pcsId) {
    return this.#call({ op: "ring", shards, tenant, pcs_id: pcsId });
  }

  signHmac(secret, message) {
    const request = { secret: encodeBase64(secret), message: encodeBase64(message) };
    return this.#bytes({ op: "hmac_sign", ...request });
  }

  verifyHmac(secret, message, tag) {
    const request = { secret: encodeBase64(secret), message: encodeBase64(message) };
    return this.#call({ op: "hmac_verify", ...request, tag: encodeBase64(tag) });
  }

  ed25519Public(seed) {
    return this.#bytes({ op: "ed25519_public", seed: encodeBase64(seed) });
  }

  signEd25519(seed, message) {
    const request = { seed: encodeBase64(seed), message: encodeBase64(message) };
    return this.#bytes({ op: "ed25519_sign", ...request });
  }

  verifyEd25519(signed) {
    return this.#call({ op: "ed25519_verify", ...encodedSignature(signed) });
  }

  verifyEd25519Batch(signed) {
    return this.#call({ op: "ed25519_verify_batch", signed: signed.map(encodedSignature) });
  }

  summarisePoints(values, columns, { seed = DEFAULT_SEED, scales = DEFAULT_SCALES } = {}) {
    const packed = new DataView(new ArrayBuffer(8 * values.length));
    Array.prototype.forEach.call(values, (value, place) => packed.setFloat64(8 * place, value, true));
    const encoded = encodeBase64(new Uint8Array(packed.buffer));
    return this.#call({ op: "summarise_points", values: encoded, columns, seed, scales });
  }

  summariseBytes(data, { seed = DEFAULT_SEED, scales = DEFAULT_SCALES } = {}) {
    return this.#call({ op: "summarise_bytes", data: encodeBase64(data), seed, scales });
  }

  signer(alg, kid, secret) {
    return this.#held(this.#call({ op: "signer", alg, kid, secret: encodeBase64(secret) }));
  }

  /** Returns the signer that a handle stands for. */
  #held(handle) {
    return {
      sign: (members) => {
        const record = JSON.stringify(members);
        const length = this.#exports.sign(handle, this.#write(record));
        if (length > 0) return this.#answer(length).slice();
        return this.#bytes({ op: "sign", signer: handle, record });
      },
      free: () => this.#call({ op: "free", handle }),
    };
  }

  keyring(file, secrets = {}) {
    const named = Object.entries(secrets).map(([name, bytes]) => [name, encodeBase64(bytes)]);
    const request = { file: encodeBase64(file), secrets: Object.fromEntries(named) };
    const { handle, keys, ...identities } = this.#call({ op: "keyring", ...request });
    return {
      ...identities,
      signer: (kid) => this.#held(this.#call({ op: "keyring_signer", keyring: handle, kid })),
      keys: keys.map((key) => ({ ...key, public: key.public && decodeBase64(key.public) })),
      authenticate: (body, { legacyTenant = null, receivedAt = null } = {}) => {
        const named = { legacy_tenant: legacyTenant, received_at: receivedAt };
        const asked = { op: "authenticate", keyring: handle, body: encodeBase64(body), ...named };
        return withBytes(this.#call(asked));
      },
      free: () => this.#call({ op: "free", handle }),
    };
  }
}

const BYTES = ["decision_body", "stored", "as_python", "as_ecmascript"];

function withBytes(members) {
  const decoded = BYTES.filter((name) => name in members);
  return Object.assign(
    members,
    Object.fromEntries(decoded.map((name) => [name, decodeBase64(members[name])])),
  );
}

function encodedSignature({ public: key, message, signature }) {
  return {
    public: encodeBase64(key),
    message: encodeBase64(message),
    signature: encodeBase64(signature),
  };
}
