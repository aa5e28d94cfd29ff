/** Signs the record of a window, and takes it as a server does. */

import { load } from "../index.js";

const core = await load();
const secret = new Uint8Array(32).fill(7);

const members = {
  schema: "fractal-lba-kakeya",
  version: "1.0",
  shard_id: "lab:shard-1",
  epoch: 0,
  created_at: "2026-11-22T06:00:00.000Z",
  ft: { degraded: false, fallbacks: [], clock_skew_ms: 0 },
  ...core.summariseBytes(new TextEncoder().encode("a window of some text")),
};

const key = { kid: "lab-1", tenant: "lab", alg: "hmac-sha256", secret: "env:LAB_1" };
const file = new TextEncoder().encode(JSON.stringify({ keys: [key] }));
const keyring = core.keyring(file, { "env:LAB_1": secret });
const stored = keyring.signer("lab-1").sign(members);

const found = keyring.authenticate(stored);
console.log(found.tenant, found.status);
