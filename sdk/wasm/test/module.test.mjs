/** What the module promises beside the vectors: its size, its loader, and that nothing is left behind. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

import { encodeBase64, load, Refused } from "../index.js";

const GZIP_BYTES_MAX = 150_000;
const MODULE = new URL("../dist/fractal_lba.wasm", import.meta.url);
const LOADER = new URL("../index.js", import.meta.url);
const DENO = fileURLToPath(
  new URL("../../typescript/node_modules/@deno/linux-x64-glibc/deno", import.meta.url),
);
const SECRET = new Uint8Array(32).fill(7);

const core = await load();

function record() {
  return {
    ...core.summariseBytes(new TextEncoder().encode("a window of some text")),
    schema: "fractal-lba-kakeya",
    version: "1.0",
    shard_id: "lab:shard-1",
    epoch: 7,
    created_at: "2026-11-22T06:00:00.000Z",
    ft: { degraded: false, fallbacks: ["é\n"], clock_skew_ms: 0 },
  };
}

function ring() {
  const key = { kid: "lab-1", tenant: "lab", alg: "hmac-sha256", secret: "env:LAB_1" };
  const file = new TextEncoder().encode(JSON.stringify({ keys: [key] }));
  return core.keyring(file, { "env:LAB_1": SECRET });
}

test("the module and its loader are at most 150 kB of gzip", async () => {
  const files = await Promise.all([MODULE, LOADER].map((file) => readFile(file)));
  const lengths = files.map((file) => gzipSync(file, { level: 9 }).length);
  console.log(`wasm: ${lengths.join(" + ")} bytes of gzip`);
  assert.ok(lengths[0] + lengths[1] <= GZIP_BYTES_MAX, `${lengths}`);
});

test("a module that is not built is told, and what builds it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "fractal-lba-unbuilt-"));
  try {
    const copy = join(folder, "index.mjs");
    await copyFile(LOADER, copy);
    const unbuilt = await import(pathToFileURL(copy).href);
    await assert.rejects(unbuilt.load(), /expected the module beside index\.js, got none: `make sdk-wasm` builds it/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a module that a caller fetched is taken as it is", async () => {
  const other = await load(await readFile(MODULE));
  assert.equal(other.pcsId("0".repeat(64), 1, "a"), core.pcsId("0".repeat(64), 1, "a"));
});

test("a signed record is authenticated, and refused with any byte changed", () => {
  const signer = core.signer("hmac-sha256", "lab-1", SECRET);
  const stored = signer.sign(record());
  const keys = ring();
  const found = keys.authenticate(stored);
  assert.equal(found.tenant, "lab");
  assert.equal(encodeBase64(found.stored), encodeBase64(stored));
  for (let place = 0; place < stored.length; place += 1) {
    const bent = stored.slice();
    bent[place] ^= 1;
    assert.throws(() => keys.authenticate(bent), Refused, `byte ${place}`);
  }
});

test("a record that breaks a rule is not signed, and the refusal names the member", () => {
  const signer = core.signer("hmac-sha256", "lab-1", SECRET);
  assert.throws(() => signer.sign({ ...record(), epoch: 2 ** 53 }), {
    name: "Refused",
    kind: "record",
    code: "invalid_record",
    reason: "not_an_integer",
    member: "epoch",
  });
});

test("a keyring's signer signs as the key alone does, outlives it, and is there only where its secret is", () => {
  const seed = new Uint8Array(32).fill(9);
  const shown = (bytes) => `base64:${encodeBase64(bytes)}`;
  const keys = [
    { kid: "lab-1", tenant: "lab", alg: "hmac-sha256", secret: shown(SECRET) },
    { kid: "lab-2", tenant: "lab", alg: "ed25519", secret: shown(seed) },
    { kid: "lab-3", tenant: "lab", alg: "ed25519", public: shown(core.ed25519Public(seed)) },
  ];
  const keyring = core.keyring(new TextEncoder().encode(JSON.stringify({ keys })));
  const signers = keys.slice(0, 2).map(({ kid }) => keyring.signer(kid));
  for (const kid of ["lab-3", "lab-4"]) assert.throws(() => keyring.signer(kid), { kind: "contract" }, kid);
  keyring.free();
  assert.throws(() => keyring.signer("lab-1"), { kind: "contract", reason: "argument" });
  const alone = [core.signer("hmac-sha256", "lab-1", SECRET), core.signer("ed25519", "lab-2", seed)];
  signers.forEach((signer, place) => assert.deepEqual(signer.sign(record()), alone[place].sign(record())));
});

test("what is given back is not used again", () => {
  const [signer, keys] = [core.signer("hmac-sha256", "lab-1", SECRET), ring()];
  const stored = signer.sign(record());
  signer.free();
  keys.free();
  assert.throws(() => signer.sign(record()), { kind: "contract", reason: "argument" });
  assert.throws(() => keys.authenticate(stored), { kind: "contract", reason: "argument" });
});

test("an answer stays what it was when the memory grows", () => {
  const signer = core.signer("hmac-sha256", "lab-1", SECRET);
  const stored = signer.sign(record());
  const before = encodeBase64(stored);
  core.summariseBytes(new Uint8Array(65_536));
  assert.equal(encodeBase64(stored), before);
});

test("a proof that is made is verified, and not at another place", () => {
  const leaves = [1, 2, 3, 4, 5].map((byte) => Uint8Array.of(byte));
  const [root, proof] = [core.merkleRoot(leaves), core.inclusionProof(leaves, 4)];
  const leafHash = core.merkleRoot([leaves[4]]);
  core.verifyInclusion({ root, size: 5, index: 4, leafHash, proof });
  assert.throws(() => core.verifyInclusion({ root, size: 5, index: 3, leafHash, proof }), Refused);
});

const run = promisify(execFile);
const example = fileURLToPath(new URL("../example/sign.mjs", import.meta.url));

test("the example signs a record and takes it", async () => {
  assert.equal((await run(process.execPath, [example])).stdout, "lab 200\n");
});

const skip = existsSync(DENO) ? false : "Deno is not here: `make sdks` installs it on Linux x86-64";
test("the example signs a record and takes it in Deno", { skip }, async () => {
  assert.equal((await run(DENO, ["run", "--no-lock", "--allow-read", example])).stdout, "lab 200\n");
});
