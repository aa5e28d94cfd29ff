/** A sound record's members, unsigned. */

import { pcsId } from "../index.js";

/** Returns the members of a record that `judge` accepts, with changes. */
export function members(changes: { readonly [name: string]: unknown } = {}): {
  [name: string]: unknown;
} {
  const root = "0123456789abcdef".repeat(4);
  return {
    schema: "fractal-lba-kakeya",
    version: "1.0",
    kid: "lab-1",
    pcs_id: pcsId(root, 7, "lab:1"),
    merkle_root: root,
    epoch: 7,
    shard_id: "lab:1",
    created_at: "2026-11-01T12:00:00.000Z",
    profile: "points/1",
    n: 100,
    d: 3,
    seed: 42,
    scales: [2, 4, 8],
    N_j: { "2": 4, "4": 8, "8": 16 },
    D_hat: 1,
    coh_star: 0.5,
    r: 0.5,
    budget: 0.35,
    v_star: [0, 0, 1],
    regime: "mixed",
    ft: { degraded: false, fallbacks: [], clock_skew_ms: 0 },
    ...changes,
  };
}
