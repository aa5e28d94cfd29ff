/**
 * Records signed in a second of the processor, beside bare HMAC calls over the same bytes in the same
 * run. Its last line is one JSON object of rates in records a second, each the best of its rounds.
 */

import { createHmac } from "node:crypto";
import {
  Key,
  parseRecord,
  signHmac,
  signingInput,
  signRecord,
  storedBytes,
  utf8,
} from "../index.js";
import { summariseBytes, summaryMembers } from "../signals/index.js";

const RECORDS = 4_000;
const WINDOWS = 400;
const ROUNDS = 25;

const secret = new Uint8Array(32).fill(7);
const key = new Key({ kid: "bench-1", tenant: "bench", alg: "hmac-sha256", secret });

const summaries = Array.from({ length: WINDOWS }, (_, seed) =>
  summaryMembers(summariseBytes(utf8(`window ${seed} `.repeat(3 + (seed % 40))), { seed })),
);
const given = Array.from({ length: RECORDS }, (_, epoch) => ({
  schema: "fractal-lba-kakeya",
  version: "1.0",
  shard_id: "bench",
  epoch,
  created_at: "2026-11-01T12:00:00.000Z",
  ...summaries[epoch % WINDOWS],
  ft: { degraded: false, fallbacks: [], clock_skew_ms: 0 },
  meta: { model: "bench", tokens: epoch },
}));
const bodies = given.map((members) => storedBytes(signRecord(members, key)));
const checked = bodies.map((body) => parseRecord(body).members);
const inputs = checked.map(signingInput);

function rate(work: () => void): number {
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
  hmac_sign_canonical: rate(() => checked.forEach((each) => signHmac(secret, signingInput(each)))),
  hmac_bare: rate(() => inputs.forEach((each) => createHmac("sha256", secret).update(each).digest())),
  // Members nobody looked at: copied, checked, named, signed, and written.
  hmac_sign_record: rate(() => given.forEach((each) => storedBytes(signRecord(each, key)))),
  parse_record: rate(() => bodies.forEach((each) => parseRecord(each))),
};
console.log(`node ${process.version}, ${inputs[0]?.length} bytes to sign`);
console.log(JSON.stringify(rates));
