/** A page that signs a record, keeps it while the server is away, ships it, and shows the answer. */

import { formatTimestamp, fromHex, ed25519Public, Key, parseRecord, signRecord, storedBytes } from "fractal-lba";
import { Client } from "fractal-lba/client";
import { Outbox } from "fractal-lba/outbox/browser";
import { summarisePoints, summaryMembers } from "fractal-lba/signals";

const POINTS = 256;
const LOOK_MS = 500;
const DIGITS = 12;

/** @param {string} id */
function element(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`page: expected an element ${id}, got none`);
  return found;
}

/** What is written into a field. @param {string} id */
const written = (id) => /** @type {HTMLInputElement} */ (element(id)).value;

// One second: whoever watches the page should see the server come back.
const client = new Client(location.origin, { retry: { waitMaxS: 1 } });
const outbox = await Outbox.open();
/** @type {Map<number, HTMLTableRowElement>} */
const rows = new Map();

for await (const { seq, body } of outbox.pending()) show(seq, parseRecord(body));
for await (const { seq, status, code, body } of outbox.refused()) {
  show(seq, parseRecord(body));
  conclude(seq, status, code ?? "not accepted");
}
void outbox
  .keepShipping(client, { signal: new AbortController().signal, onAnswer: answered })
  .catch((error) => tell(error));

element("sign").addEventListener("submit", (event) => {
  event.preventDefault();
  sign().catch(tell);
});
setInterval(look, LOOK_MS);
await look();
document.body.dataset.ready = "true";

/** Sign a window and store it; nothing is sent here. */
async function sign() {
  const seed = fromHex(written("seed"));
  const key = new Key({
    kid: written("kid"),
    tenant: "",
    alg: "ed25519",
    secret: seed,
    publicKey: ed25519Public(seed),
  });
  const now = Date.now();
  const record = signRecord(
    {
      schema: "fractal-lba-kakeya",
      version: "1.0",
      ...summaryMembers(summarisePoints(measured(now))),
      // A program of its own would count; a page that is opened twice would count twice.
      epoch: now,
      shard_id: written("shard"),
      created_at: formatTimestamp(now),
      ft: { degraded: false, fallbacks: [], clock_skew_ms: 0 },
    },
    key,
  );
  show(await outbox.append(storedBytes(record)), record);
  await look();
}

/** A curve that no two presses of the button share. @param {number} now */
function measured(now) {
  const phase = (now % 10_000) / 10_000;
  return Array.from({ length: POINTS }, (_, at) => {
    const angle = (2 * Math.PI * at) / POINTS;
    return [Math.sin(3 * angle + phase), Math.sin(4 * angle), Math.cos(5 * angle)];
  });
}

/**
 * @param {import("fractal-lba/outbox/browser").Shipped} shipped
 * @param {Uint8Array} body
 */
function answered({ seq, answer }, body) {
  show(seq, parseRecord(body)).dataset.replayed = String(answer.replayed);
  conclude(seq, answer.status, answer.code ?? decided(answer));
}

/**
 * Show an answer; what was not accepted can be sent again or dropped.
 *
 * @param {number} seq
 * @param {number} status
 * @param {string} word
 */
function conclude(seq, status, word) {
  const row = rows.get(seq);
  const cell = row?.lastElementChild;
  if (!row || !cell) return;
  row.dataset.status = String(status);
  cell.textContent = `${status} ${word}`;
  if (status < 400) return;
  cell.append(
    button("Send again", async () => {
      const record = parseRecord((await refused(seq)).body);
      for (const again of await outbox.retry([seq])) show(again, record);
      forget(seq);
    }),
    button("Drop", async () => {
      await outbox.drop([seq]);
      forget(seq);
    }),
  );
}

/** @param {number} seq */
async function refused(seq) {
  for await (const each of outbox.refused()) if (each.seq === seq) return each;
  throw new Error("another tab has sent or dropped it");
}

/**
 * @param {string} textContent
 * @param {() => Promise<void>} work
 */
function button(textContent, work) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent });
  made.addEventListener("click", () => work().catch(tell));
  return made;
}

/** @param {number} seq */
function forget(seq) {
  rows.get(seq)?.remove();
  rows.delete(seq);
}

/** @param {import("fractal-lba/client").Answer} answer */
function decided(answer) {
  const { accepted, escalated } = /** @type {{ accepted: boolean, escalated: boolean }} */ (answer.json());
  return escalated ? "accepted, escalated" : accepted ? "accepted" : "not accepted";
}

/**
 * Return the row of a record, made where there is none.
 *
 * @param {number} seq
 * @param {import("fractal-lba").PcsRecord} record
 */
function show(seq, record) {
  const shown = rows.get(seq);
  if (shown !== undefined) return shown;
  const row = document.createElement("tr");
  row.dataset.status = "waiting";
  row.dataset.pcsId = record.pcsId;
  for (const text of [seq, `${record.pcsId.slice(0, DIGITS)}…`, record.dHat, "on disk here, waiting for the server"]) {
    row.append(Object.assign(document.createElement("td"), { textContent: String(text) }));
  }
  rows.set(seq, row);
  element("records").append(row);
  return row;
}

async function look() {
  element("waiting").textContent = String(await outbox.pendingCount());
  const response = await fetch("/ready", { cache: "no-store" }).catch(() => null);
  element("server").textContent = response?.ok ? "ready" : "away";
}

/** @param {unknown} error */
function tell(error) {
  // Messages of this package name what was expected, never a secret or a record.
  element("problem").textContent = error instanceof Error ? error.message : "something failed";
}
