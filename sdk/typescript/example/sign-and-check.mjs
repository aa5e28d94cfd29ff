// Summarise a window, sign its record, and check it as a server would.
import { authenticate, judgeAny, parseKeyring, signRecord, storedBytes, utf8 } from "fractal-lba";
import { summariseBytes, summaryMembers } from "fractal-lba/signals";

const secret = "base64:c2l4dGVlbiBieXRlcywgYW5kIHNpeHRlZW4gbW9yZS4=";
const ring = parseKeyring(
  utf8(JSON.stringify({ keys: [{ kid: "lab-1", tenant: "lab", alg: "hmac-sha256", secret }] })),
);
const key = ring.key("lab-1");
if (key === undefined) throw new Error("keyring: expected lab-1, got other keys");

const answer = utf8("to be or not to be, that is the question. ".repeat(12));
const record = signRecord(
  {
    schema: "fractal-lba-kakeya",
    version: "1.0",
    shard_id: "answers",
    epoch: 1,
    created_at: "2026-11-01T12:00:00.000Z",
    ...summaryMembers(summariseBytes(answer)),
    ft: { degraded: false, fallbacks: [], clock_skew_ms: 0 },
  },
  key,
);
const body = storedBytes(record); // what is sent, and what a ledger keeps

const found = authenticate(body, ring); // throws a Refusal with a code, a reason and a member
const outcome = judgeAny(found.record);
console.log(found.tenant, found.record.regime, outcome.status, outcome.reasons.join(" ") || "sound");
// prints: lab mixed 200 sound
