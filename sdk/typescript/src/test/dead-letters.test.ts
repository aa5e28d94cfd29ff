/** Dead letters: on disk before the record waits no more, mended as the agent does, never torn. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { Client } from "../client/index.js";
import { ContractError, DurabilityError, FencedError, FullError } from "../index.js";
import { Outbox } from "../outbox/node.js";
import { type Call, diskError, watched } from "./disks.js";
import { contents, folder } from "./folders.js";
import { decision, scripted } from "./servers.js";
import { signed } from "./signed.js";

const records = [1, 2, 3].map((epoch) => signed(epoch));
const texts = records.map((record) => Buffer.from(record).toString());
const FILE = "dead-letters.ndjson";

/** Return the lines of a folder's dead letters, read as any JSON. */
async function letters(data: string): Promise<any[]> {
  const lines = (await readFile(join(data, FILE), "utf8")).split("\n");
  assert.equal(lines.pop(), "");
  return lines.map((line) => JSON.parse(line));
}

/** Return a client of a server that accepts nothing. */
async function refusing(t: TestContext): Promise<Client> {
  const server = await scripted(t, ({ body }) => ({ status: 422, body: decision(body) }));
  return new Client(server.url);
}

test("what was not accepted is in the dead letters as it was signed, and what was is not", async (t) => {
  const data = await folder(t);
  await using outbox = await Outbox.open(data);
  const seqs = await outbox.appendAll(records);
  const page = `${"é".repeat(9_000)}${"\u{1f600}".repeat(9_000)}`;
  const server = await scripted(t, ({ body }) => {
    const { epoch } = JSON.parse(body) as { epoch: number };
    if (epoch === 1) return { status: 202, body: decision(body) };
    if (epoch === 2) return { status: 422, body: decision(body) };
    return { status: 401, body: JSON.stringify({ code: "unauthenticated", detail: page }) };
  });
  await outbox.ship(new Client(server.url));
  const found = (await letters(data)).sort((one, other) => one.outbox_seq - other.outbox_seq);
  assert.deepEqual(found.map(({ outbox_seq, status, code, v }) => [outbox_seq, status, code, v]), [
    [seqs[1], 422, null, 1],
    [seqs[2], 401, "unauthenticated", 1],
  ]);
  const raw = await readFile(join(data, FILE), "utf8");
  for (const text of texts.slice(1)) assert.ok(raw.includes(`,"record":${text},"at":"`));
  assert.equal([...found[1].answer].length, 16_384);
  assert.deepEqual([found[0].shard_id, found[0].epoch, outbox.pendingCount, outbox.deadLetterCount], ["press-7", 2, 0, 2]);
});

test("a process that is killed between the two has the letter, and the record still waits", async (t) => {
  const data = await folder(t);
  const client = await refusing(t);
  const server = await scripted(t, ({ body }) => ({ status: 422, body: decision(body) }));
  const program = `import { Outbox } from ${JSON.stringify(new URL("../outbox/node.js", import.meta.url).href)};
    import { Client } from ${JSON.stringify(new URL("../client/index.js", import.meta.url).href)};
    const outbox = await Outbox.open(${JSON.stringify(data)});
    await outbox.append(Buffer.from(${JSON.stringify(texts[0])}));
    await outbox.ship(new Client(${JSON.stringify(server.url)}), { onAnswer: () => process.kill(process.pid, "SIGKILL") });`;
  const other = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "inherit", "inherit"] });
  const [, signal] = await once(other, "exit");
  assert.equal(signal, "SIGKILL");
  assert.deepEqual((await letters(data)).map(({ outbox_seq, status }) => [outbox_seq, status]), [[1, 422]]);
  await using outbox = await Outbox.open(data);
  assert.deepEqual([...(await contents(outbox))], [[1, texts[0]]]);
  assert.deepEqual(outbox.damage, []);
  await outbox.ship(client);
  // Written again under the same number: of such lines the last counts.
  assert.deepEqual((await letters(data)).map(({ outbox_seq }) => outbox_seq), [1, 1]);
  assert.equal(outbox.pendingCount, 0);
});

for (const failing of ["write", "datasync", "syncFolder"] as const) {
  test(`where its ${failing} fails the record waits, and no letter is written after it`, async (t) => {
    const data = await folder(t);
    let isFailing = true;
    const calls: [Call, string][] = [];
    const disk = watched((call, path) => {
      calls.push([call, path]);
      if (isFailing && call === failing && (path.endsWith(FILE) || path === data)) throw diskError("EIO");
    });
    isFailing = false;
    const outbox = await Outbox.open(data, { disk });
    await outbox.append(records[0]!);
    isFailing = true;
    const client = await refusing(t);
    await assert.rejects(outbox.ship(client), (error) => error instanceof DurabilityError && !(error instanceof FencedError));
    isFailing = false;
    calls.length = 0;
    await assert.rejects(outbox.ship(client), FencedError);
    assert.deepEqual(calls.filter(([, path]) => path.endsWith(FILE)), []);
    assert.equal(outbox.pendingCount, 1);
    await outbox.close();
    await using again = await Outbox.open(data);
    assert.deepEqual([...(await contents(again))], [[1, texts[0]]]);
    await again.ship(client);
    assert.equal((await letters(data)).at(-1).outbox_seq, 1);
  });
}

test("letters that come together share one sync, before any of their acknowledgements is written", async (t) => {
  const calls: string[] = [];
  const disk = watched((call, path, data) => {
    const isLetters = path.endsWith(FILE);
    const isAck = data !== undefined && Buffer.from(data).includes('"kind":"ack"');
    if (isLetters || isAck) calls.push(isAck ? "acknowledge" : call);
  });
  const outbox = await Outbox.open(await folder(t), { disk });
  await outbox.appendAll(records);
  const server = await scripted(t, ({ body }) => ({ status: 422, body: decision(body) }));
  let came = 0;
  let open = (): void => undefined;
  const all = new Promise<void>((resolve) => (open = resolve));
  const together: typeof fetch = async (...request) => {
    const response = await fetch(...request);
    const body = await response.arrayBuffer();
    came += 1;
    if (came === records.length) open();
    await all;
    return new Response(body, { status: response.status });
  };
  await outbox.ship(new Client(server.url, { fetch: together }));
  await outbox.close();
  assert.deepEqual(calls.slice(0, 3), ["create", "write", "datasync"]);
  assert.ok(calls.filter((call) => call === "datasync").length < records.length, `${calls}`);
  assert.ok(calls.lastIndexOf("datasync") < calls.indexOf("acknowledge"), `${calls}`);
});

test("without room for its letter a record waits, nothing is fenced, and it goes on with room", async (t) => {
  const data = await folder(t);
  let full: Call | null = "create";
  const disk = watched((call, path) => {
    if (call === full && path.endsWith(FILE)) throw diskError("ENOSPC");
  });
  await using outbox = await Outbox.open(data, { disk });
  await outbox.appendAll(records);
  const client = await refusing(t);
  for (const next of ["write", null] as const) {
    await assert.rejects(outbox.ship(client), FullError);
    assert.equal(outbox.pendingCount, records.length);
    full = next;
  }
  await outbox.ship(client);
  assert.deepEqual([outbox.pendingCount, (await letters(data)).length], [0, records.length]);
});

test("opening mends the file and learns its numbers", async (t) => {
  const made = await folder(t);
  const first = await Outbox.open(made);
  await first.appendAll(records);
  await first.ship(await refusing(t));
  await first.close();
  const whole = await readFile(join(made, FILE));
  const lines = whole.toString().trimEnd().split("\n").map((line) => `${line}\n`);
  const numbered = (seq: number): string => lines[0]!.replace(/^\{"outbox_seq":\d+/, `{"outbox_seq":${seq}`);
  const torn = `{"outbox_seq":90,"pcs_id":"ab`;
  const cases: { given: string; left: string; cut?: string; told?: RegExp; next: number }[] = [
    { given: numbered(90), left: numbered(90), next: 91 },
    { given: numbered(90).trimEnd(), left: numbered(90), next: 91 },
    { given: `${numbered(90).trimEnd()}\0`, left: numbered(90), next: 91 },
    // Of a record that does not wait: it was durable once.
    { given: numbered(70) + torn, left: `${numbered(70)}${torn}\n`, told: /got 1 lines/, next: 71 },
    // Of one that may wait, or of nobody.
    { given: `${numbered(70)}  \n`, left: numbered(70), cut: "  \n", told: /torn/, next: 71 },
    { given: `${"x".repeat(600_000)}\n${numbered(80)}`, left: `${"x".repeat(600_000)}\n${numbered(80)}`, told: /got 1 lines/, next: 81 },
    // No outbox gave it in five centuries.
    { given: numbered(2 ** 52), left: numbered(2 ** 52), told: /far beyond/, next: 1 },
  ];
  for (const { given, left, cut, told, next } of cases) {
    const data = await folder(t);
    await writeFile(join(data, FILE), given);
    const outbox = await Outbox.open(data);
    assert.equal(await readFile(join(data, FILE), "utf8"), left);
    assert.equal(await readFile(join(data, `${FILE}.cut`), "utf8").catch(() => undefined), cut);
    assert.equal(outbox.damage.length, told === undefined ? 0 : 1, outbox.damage.join());
    if (told !== undefined) assert.match(outbox.damage.join(), told);
    assert.ok((await outbox.append(records[0]!)) >= next);
    await outbox.close();
  }
});

test("a torn letter of a record that waits is put aside, and one of a newer program refuses the folder", async (t) => {
  const data = await folder(t);
  const outbox = await Outbox.open(data);
  await outbox.append(records[0]!);
  await outbox.close();
  const torn = '{"outbox_seq":1,"pcs_id":"ab';
  for (const _ of [1, 2]) {
    await writeFile(join(data, FILE), torn);
    await using again = await Outbox.open(data);
    assert.match(again.damage.join(), /28 bytes .* torn/);
  }
  assert.deepEqual([await readFile(join(data, FILE), "utf8"), await readFile(join(data, `${FILE}.cut`), "utf8")], ["", torn + torn]);
  const newer = '{"v":2}\n{"torn';
  await writeFile(join(data, FILE), newer);
  await assert.rejects(Outbox.open(data), (error) => error instanceof ContractError && /format 1, got 2/.test(error.message));
  assert.equal(await readFile(join(data, FILE), "utf8"), newer);
});
