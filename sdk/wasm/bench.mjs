/**
 * What signing costs in WebAssembly, beside Node's own HMAC of the same bytes in the same run. The last
 * line is a JSON object of the figures, records a second on one core: each of the fastest of many slices,
 * shorter than a scheduler's and taken in turn, so that what else the machine does is left out.
 */

import { createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";

import { load } from "./index.js";

const RECORDS = 2_000;
const SLICES = 200;
const SLICE_MS = 3;
const CALLS_BETWEEN = 8;
const SECRET = new Uint8Array(32).fill(7);
const WINDOW_BYTES = 4_096;

const core = await load();
const window = await readFile(new URL("index.js", import.meta.url));
const summary = core.summariseBytes(window.subarray(0, WINDOW_BYTES));
const records = Array.from({ length: RECORDS }, (_, epoch) => ({
  ...summary,
  schema: "fractal-lba-kakeya",
  version: "1.0",
  shard_id: "benchmark",
  epoch,
  created_at: "2026-11-22T06:00:00.000Z",
  ft: { degraded: false, fallbacks: [], clock_skew_ms: 0 },
}));
const signer = core.signer("hmac-sha256", "bench-hmac", SECRET);
const inputs = records.map((record) => core.parseRecord(signer.sign(record)).signing_input);

const works = {
  hmac_sign_canonical: (place) => signer.sign(records[place]),
  hmac_bare: (place) => createHmac("sha256", SECRET).update(inputs[place]).digest(),
};
const rates = Object.fromEntries(Object.keys(works).map((name) => [name, 0]));
for (let slice = 0; slice < SLICES; slice += 1) {
  for (const [name, work] of Object.entries(works)) {
    const began = performance.now();
    let calls = 0;
    while (performance.now() - began < SLICE_MS) {
      for (let some = 0; some < CALLS_BETWEEN; some += 1) work(calls++ % RECORDS);
    }
    rates[name] = Math.max(rates[name], (calls * 1_000) / (performance.now() - began));
  }
}
console.log(JSON.stringify(rates));
