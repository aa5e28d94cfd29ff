/** Signed records for tests: valid, each distinct through its epoch. */

import { budget, dHat, formatTimestamp, Key, regime, signRecord, storedBytes } from "../index.js";

const COUNTS = { "2": 4, "4": 8, "8": 16, "16": 30, "32": 60 };
const SCALES = [2, 4, 8, 16, 32];

export const KEY = new Key({ kid: "acme-1", tenant: "acme", alg: "hmac-sha256", secret: Buffer.alloc(32, "a") });

/** Return the bytes of a record that a server accepts. */
export function signed(epoch: number, shardId = "press-7"): Uint8Array {
  const slope = dHat(new Map(SCALES.map((scale) => [scale, COUNTS[String(scale) as keyof typeof COUNTS]])));
  const [cohStar, r] = [0.25, 0.5];
  const record = signRecord(
    {
      schema: "fractal-lba-kakeya",
      version: "1.0",
      merkle_root: "ab".repeat(32),
      epoch,
      shard_id: shardId,
      created_at: formatTimestamp(Date.now()),
      profile: "points/1",
      n: 64,
      d: 3,
      seed: 42,
      scales: SCALES,
      N_j: COUNTS,
      D_hat: slope,
      coh_star: cohStar,
      r,
      budget: budget(slope, cohStar, r),
      v_star: [0, 0, 1],
      regime: regime(slope, cohStar),
      ft: { degraded: false, fallbacks: [], clock_skew_ms: 0 },
    },
    KEY,
  );
  return storedBytes(record);
}
