/** A page whose records WebAssembly signs; TypeScript's outbox keeps them and its client sends them. */

import { load } from "./wasm/index.js";
import { Client, Outbox } from "./outbox.js";

const LOOK_MS = 500;
const DIGITS = 12;
const element = (id) => document.getElementById(id);
const utf8 = (text) => new TextEncoder().encode(text);

const core = await load();
const client = new Client(location.origin, { retry: { waitMaxS: 1 } });
const outbox = await Outbox.open({ name: "wasm-example" });
const rows = new Map();

for await (const { seq, body } of outbox.pending()) show(seq, body);
void outbox
  .keepShipping(client, { signal: new AbortController().signal, onAnswer: answered })
  .catch(tell);
element("sign").addEventListener("submit", (event) => {
  event.preventDefault();
  sign().catch(tell);
});
setInterval(() => count().catch(tell), LOOK_MS);
await count();
document.body.dataset.ready = "true";

/** Sign a window and store it; nothing is sent here. */
async function sign() {
  const key = { kid: element("kid").value, tenant: "here", alg: element("alg").value };
  const file = utf8(JSON.stringify({ keys: [{ ...key, secret: `base64:${element("secret").value}` }] }));
  const keyring = core.keyring(file);
  const signer = keyring.signer(key.kid);
  try {
    const now = Date.now();
    const stored = signer.sign({
      schema: "fractal-lba-kakeya",
      version: "1.0",
      ...core.summariseBytes(utf8(`the answer of ${now}, word by word. `.repeat(12))),
      epoch: now,
      shard_id: "wasm-1",
      created_at: new Date(now).toISOString(),
      ft: { degraded: false, fallbacks: [], clock_skew_ms: 0 },
    });
    keyring.authenticate(stored); // throws where the signature does not hold
    show(await outbox.append(stored), stored);
  } finally {
    signer.free();
    keyring.free();
  }
  await count();
}

function show(seq, body) {
  const record = core.parseRecord(body);
  const row = document.createElement("tr");
  row.dataset.status = "waiting";
  row.dataset.pcsId = record.pcs_id;
  for (const text of [seq, `${record.pcs_id.slice(0, DIGITS)}…`, record.kid, "stored here, waiting for the server"]) {
    row.append(Object.assign(document.createElement("td"), { textContent: String(text) }));
  }
  rows.set(seq, row);
  element("records").append(row);
}

function answered({ seq, answer }) {
  const row = rows.get(seq);
  row.dataset.status = String(answer.status);
  row.lastChild.textContent = `${answer.status} ${answer.code ?? (answer.json().accepted ? "accepted" : "not accepted")}`;
}

async function count() {
  element("waiting").textContent = String(await outbox.pendingCount());
}

function tell(error) {
  element("problem").textContent = error instanceof Error ? error.message : "something failed";
}
