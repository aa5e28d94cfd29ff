/** Shipping an outbox: what ends a record's waiting, and what does not. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../client/index.js";
import { parseRecord } from "../index.js";
import { Outbox } from "../outbox/node.js";
import { folder } from "./folders.js";
import { decision, problem, scripted } from "./servers.js";
import { signed } from "./signed.js";

const records = [1, 2, 3, 4].map((epoch) => signed(epoch));
const retry = { waitFirstS: 0.001, waitMaxS: 0.002 };

test("what waits is sent with its number and its attempt, and leaves with its final answer", async (t) => {
  await using outbox = await Outbox.open(await folder(t));
  const seqs = await outbox.appendAll(records);
  const server = await scripted(t, ({ body }, number) => {
    if (number <= 6) return { status: number % 2 ? 503 : 429 };
    const { epoch } = JSON.parse(body) as { epoch: number };
    return epoch === 3 ? { status: 422, body: decision(body) } : { status: 200, body: decision(body), headers: { "Idempotent-Replayed": "true" } };
  });
  const shipped = await outbox.ship(new Client(server.url, { retry }));
  const told = shipped.map(({ seq, answer }) => [seq, answer.status, answer.replayed]).sort();
  assert.deepEqual(told, seqs.map((seq) => (seq === 3 ? [seq, 422, false] : [seq, 200, true])));
  assert.equal(outbox.pendingCount, 0);
  const deliveries = server.asked.map(({ body }) => parseRecord(Buffer.from(body)).delivery);
  assert.ok(deliveries.every((delivery) => seqs.includes(delivery?.outboxSeq ?? 0)));
  assert.equal(Math.max(...deliveries.map((delivery) => delivery?.attempt ?? 0)) > 1, true);
});

const foreign: [string, number, string][] = [
  ["a friendly page", 200, "<html>welcome</html>"],
  ["a decision about another record", 200, JSON.stringify({ pcs_id: "ab".repeat(32), accepted: true })],
  ["a success without a body", 204, ""],
  ["an error page", 403, "<html>no</html>"],
  ["a wrong path", 404, problem("not_found")],
  ["a conflict of another record", 409, JSON.stringify({ code: "pcs_id_conflict", pcs_id: "ab".repeat(32) })],
];
for (const [what, status, body] of foreign) {
  test(`${what} ends no record's waiting`, async (t) => {
    await using outbox = await Outbox.open(await folder(t));
    await outbox.append(records[0]!);
    const server = await scripted(t, () => ({ status, body }));
    const stop = new AbortController();
    const shipping = outbox.ship(new Client(server.url, { retry }), { signal: stop.signal });
    while (server.asked.length < 3) await new Promise((resolve) => setImmediate(resolve));
    stop.abort();
    assert.deepEqual(await shipping, []);
    assert.equal(outbox.pendingCount, 1);
  });
}

test("the caller is told before the outbox is, and a record it could not keep waits", async (t) => {
  await using outbox = await Outbox.open(await folder(t));
  await outbox.append(records[0]!);
  const server = await scripted(t, ({ body }) => ({ status: 422, body: decision(body) }));
  const client = new Client(server.url, { retry });
  const kept: Uint8Array[] = [];
  const refuses = (): void => {
    throw new Error("no room for it");
  };
  await assert.rejects(outbox.ship(client, { onAnswer: refuses }), /no room/);
  assert.equal(outbox.pendingCount, 1);
  await outbox.ship(client, { onAnswer: (_, record) => void kept.push(record) });
  assert.deepEqual(kept.map((record) => Buffer.from(record)), [Buffer.from(records[0]!)]);
  assert.equal(outbox.pendingCount, 0);
});

test("shipping ends with its deadline, and what has no answer still waits", async (t) => {
  await using outbox = await Outbox.open(await folder(t));
  await outbox.appendAll(records);
  const client = new Client("http://127.0.0.1:1", { retry, deadlineS: 0.1 });
  assert.deepEqual(await outbox.ship(client), []);
  assert.equal(outbox.pendingCount, records.length);
});
