// Sign a window, keep it on disk, and ship what waits:
// node example/sign-and-ship.mjs http://127.0.0.1:8080 agent-keyring.json demo-1 ./data
import { readFileSync } from "node:fs";
import { formatTimestamp, parseKeyring, signRecord, storedBytes, utf8 } from "fractal-lba";
import { Client } from "fractal-lba/client";
import { Outbox } from "fractal-lba/outbox/node";
import { summariseBytes, summaryMembers } from "fractal-lba/signals";

const [url, keyring, kid, folder] = process.argv.slice(2);
const key = parseKeyring(readFileSync(keyring)).key(kid);
if (key === undefined) throw new Error(`keyring: expected ${kid}, got other keys`);

const now = Date.now();
const record = signRecord(
  {
    schema: "fractal-lba-kakeya",
    version: "1.0",
    shard_id: "node:answers",
    epoch: now, // a stream counts its epochs; the clock does for one that sends now and then
    created_at: formatTimestamp(now),
    ...summaryMembers(summariseBytes(utf8("to be or not to be, that is the question. ".repeat(12)))),
    ft: { degraded: false, fallbacks: [], clock_skew_ms: 0 },
  },
  key,
);

const outbox = await Outbox.open(folder);
await outbox.append(storedBytes(record)); // on disk: the machine may lose its power now
// What is not accepted is in FOLDER/dead-letters.ndjson before it waits no more.
await outbox.ship(new Client(url, { deadlineS: 60 }), {
  onAnswer: ({ seq, answer }) => console.log(seq, answer.status, answer.code ?? ""),
});
console.log("waiting", outbox.pendingCount);
await outbox.close();
