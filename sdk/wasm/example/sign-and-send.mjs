// Sign a window and send its record, until the answer is final:
// node example/sign-and-send.mjs http://127.0.0.1:8080 agent-keyring.json demo-1
import { readFile } from "node:fs/promises";
import { setTimeout as wait } from "node:timers/promises";
import { load } from "fractal-lba-wasm";

const [url, file, kid] = process.argv.slice(2);
const core = await load();
const keyring = core.keyring(await readFile(file));

const now = Date.now();
const body = keyring.signer(kid).sign({
  schema: "fractal-lba-kakeya",
  version: "1.0",
  shard_id: "wasm:answers",
  epoch: now, // a stream counts its epochs; the clock does for one that sends now and then
  created_at: new Date(now).toISOString(),
  ...core.summariseBytes(new TextEncoder().encode("to be or not to be, that is the question. ".repeat(12))),
  ft: { degraded: false, fallbacks: [], clock_skew_ms: 0 },
});

const headers = { "Content-Type": "application/json" };
for (let attempt = 1; attempt <= 8; attempt += 1) {
  // No answer, 408, 429 and 5xx leave it open whether the server has it: the same bytes again.
  const answer = await fetch(`${url}/v1/pcs/submit`, { method: "POST", headers, body }).catch(() => null);
  if (answer !== null && ![408, 429].includes(answer.status) && answer.status < 500) {
    console.log(answer.status, (await answer.json()).code ?? "");
    process.exit(0);
  }
  const asked = Number(answer?.headers.get("Retry-After")) || 0;
  await wait((asked + Math.random() * 0.1 * 2 ** attempt) * 1000);
}
console.log("no final answer");
process.exit(1);
