// Records signed in a second of the processor, beside bare HMAC calls over the same bytes in the same
// run. Prints one JSON object: rates in records a second, the best of the rounds.
import { createHmac } from "node:crypto";
import { parseRecord, signHmac, signingInput, signRecord, storedBytes, Key } from "fractal-lba";
import { summariseBytes, summaryMembers } from "fractal-lba/signals";

const RECORDS = 4_000;
const ROUNDS = 7;

const secret = new Uint8Array(32).fill(7);
const key = new Key({ kid: "bench-1", tenant: "bench", alg: "hmac-sha256", secret });
const given = Array.from({ length: RECORDS }, (_, epoch) => ({
  schema: "fractal-lba-kakeya",
  version: "1.0",
  shard_id: "bench",
  epoch,
  created_at: "2026-11-01T12:00:00.000Z",
  ...summary(epoch % 16),
  ft: { degraded: false, fallbacks: [], clock_skew_ms: 0 },
}));
const records = given.map((members) => signRecord(members, key));
const members = records.map((record) => record.members);
const inputs = members.map(signingInput);
const bodies = records.map(storedBytes);

function summary(seed) {
  const data = Uint8Array.from({ length: 512 }, (_, i) => (i * (seed + 3)) % 97);
  return summaryMembers(summariseBytes(data, { seed }));
}

function rate(work) {
  let best = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(start); // microseconds of all threads, waits left out
    best = Math.max(best, RECORDS / ((user + system) / 1e6));
  }
  return Math.round(best);
}

const rates = {
  // The canonical signing input of a record that was checked, and its tag.
  sign_canonical_hmac: rate(() => members.forEach((each) => signHmac(secret, signingInput(each)))),
  bare_hmac: rate(() => inputs.forEach((each) => createHmac("sha256", secret).update(each).digest())),
  // Members that nobody looked at: copied, checked, named, signed, and written.
  sign_record_and_write: rate(() => given.forEach((each) => storedBytes(signRecord(each, key)))),
  parse_record: rate(() => bodies.forEach(parseRecord)),
};
console.log(JSON.stringify({ node: process.version, bytes: inputs[0].length, ...rates }));
