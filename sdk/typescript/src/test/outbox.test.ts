/** The outbox over real files: durable, counted once, locked, fenced, kept small. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { ContractError, DurabilityError, FencedError, FullError, LockedError, Refusal, UnavailableError } from "../index.js";
import { Outbox } from "../outbox/node.js";
import { diskError, unlocked, watched } from "./disks.js";
import { contents, files, folder, image } from "./folders.js";
import { signed } from "./signed.js";

const records = Array.from({ length: 8 }, (_, epoch) => signed(epoch));
const texts = records.map((record) => Buffer.from(record).toString());

test("what append returned is there after a crash", async (t) => {
  const data = await folder(t);
  const outbox = await Outbox.open(data);
  const seqs = [await outbox.append(records[0]!), ...(await outbox.appendAll(records.slice(1, 3)))];
  const crashed = await Outbox.open(await image(t, data));
  await outbox.close();
  assert.deepEqual([...(await contents(crashed))], seqs.map((seq, index) => [seq, texts[index]]));
  assert.deepEqual(crashed.damage, []);
  await crashed.close();
});

test("an acknowledged record is not there after close, and the others are", async (t) => {
  const data = await folder(t);
  const outbox = await Outbox.open(data);
  const [first, second] = await outbox.appendAll(records.slice(0, 2));
  await outbox.acknowledge(first!, { status: 200, replayed: false });
  await outbox.acknowledge(first!, { status: 422, replayed: false });
  assert.equal(await outbox.read(first!), null);
  await outbox.close();
  await using again = await Outbox.open(data);
  assert.deepEqual([...(await contents(again)).keys()], [second]);
});

test("appends that come together share one sync", async (t) => {
  let syncs = 0;
  const disk = watched((call) => {
    if (call === "datasync") syncs += 1;
  });
  const outbox = await Outbox.open(await folder(t), { disk });
  syncs = 0;
  const seqs = await Promise.all(records.map((record) => outbox.append(record)));
  assert.equal(syncs, 1);
  assert.deepEqual(seqs, records.map((_, index) => index + 1));
  await outbox.close();
});

test("a tail torn at any byte is put aside, and nothing before it is lost", async (t) => {
  const data = await folder(t);
  const outbox = await Outbox.open(data);
  await outbox.append(records[0]!);
  const [segment] = await files(data);
  const before = (await stat(segment!)).size;
  await outbox.append(records[1]!);
  const after = (await stat(segment!)).size;
  const copy = await image(t, data);
  await outbox.close();
  const [name] = await files(copy);
  const whole = await readFile(name!);
  for (let length = before; length < after; length += 61) {
    const torn = await folder(t);
    await mkdir(join(torn, "outbox"));
    const path = join(torn, "outbox", name!.split("/").at(-1)!);
    await writeFile(path, whole.subarray(0, length));
    const recovered = await Outbox.open(torn, { disk: unlocked });
    assert.deepEqual([...(await contents(recovered)).values()], [texts[0]]);
    assert.deepEqual(recovered.damage, []);
    const cut = await files(torn, ".cut");
    assert.deepEqual(await Promise.all(cut.map((each) => readFile(each))), length > before ? [whole.subarray(before, length)] : []);
    // The torn frame may have been read by somebody: its number is not given again.
    const next = await recovered.append(records[2]!);
    assert.ok(length - before < 26 ? next === 2 : next > 2, `torn ${length - before} bytes, next ${next}`);
    await recovered.close();
  }
});

test("a flipped bit costs one record at the most, is told, and crashes nothing", async (t) => {
  const data = await folder(t);
  const outbox = await Outbox.open(data);
  for (const record of records.slice(0, 3)) await outbox.append(record);
  await outbox.close();
  const [name] = await files(data);
  const whole = await readFile(name!);
  const copy = await image(t, data);
  const [path] = await files(copy);
  for (let offset = 0; offset < whole.length; offset += 41) {
    const bent = Buffer.from(whole);
    bent[offset] = bent[offset]! ^ (1 << (offset % 8));
    const next = await folder(t);
    await mkdir(join(next, "outbox"));
    for (const file of await files(copy)) {
      await writeFile(join(next, "outbox", file.split("/").at(-1)!), file === path ? bent : await readFile(file));
    }
    const opened = await Outbox.open(next, { disk: unlocked });
    const found = [...(await contents(opened)).values()];
    assert.ok(found.every((text) => texts.includes(text)), `offset ${offset}`);
    assert.ok(found.length >= 2, `offset ${offset}: ${found.length}`);
    assert.ok(found.length === 3 || opened.damage.length > 0, `offset ${offset}: nothing told`);
    assert.equal(opened.lost, 3 - found.length);
    await opened.close();
  }
});

test("a second process is refused with the folder and the first one's id", async (t) => {
  const data = await folder(t);
  const outbox = await Outbox.open(data);
  await assert.rejects(Outbox.open(data), (error: Error) => {
    assert.ok(error instanceof LockedError);
    assert.match(error.message, new RegExp(`${data}.*pid ${process.pid}$`));
    return true;
  });
  await outbox.close();
  await (await Outbox.open(data)).close();
});

test("the lock is the kernel's: a process that is killed leaves none", async (t) => {
  const data = await folder(t);
  await (await Outbox.open(data)).close();
  const program = `import { Outbox } from ${JSON.stringify(new URL("../outbox/node.js", import.meta.url).href)};
    await Outbox.open(${JSON.stringify(data)}); console.log("open"); setInterval(() => {}, 1000);`;
  const other = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  await once(other.stdout, "data");
  await assert.rejects(Outbox.open(data), new RegExp(`pid ${other.pid}$`));
  other.kill("SIGKILL");
  await once(other, "exit");
  await (await Outbox.open(data)).close();
});

for (const failing of ["write", "datasync"] as const) {
  test(`a failed ${failing} fences the outbox, and opening again recovers it`, async (t) => {
    let isFailing = false;
    const disk = watched((call) => {
      if (isFailing && call === failing) throw diskError("EIO");
    });
    const data = await folder(t);
    const outbox = await Outbox.open(data, { disk });
    await outbox.append(records[0]!);
    isFailing = true;
    await assert.rejects(outbox.append(records[1]!), (error) => error instanceof DurabilityError && !(error instanceof FencedError));
    isFailing = false;
    assert.ok(outbox.isFenced);
    await assert.rejects(outbox.append(records[2]!), FencedError);
    assert.deepEqual([...(await contents(outbox)).values()], [texts[0]]);
    await outbox.close();
    await using again = await Outbox.open(data);
    const found = [...(await contents(again)).values()];
    assert.deepEqual(found.slice(0, 1), [texts[0]]);
    assert.ok(found.length === 1 || found[1] === texts[1]);
  });
}

test("acknowledgements that are not kept are told", async (t) => {
  let isFailing = false;
  const disk = watched((call) => {
    if (isFailing && call === "datasync") throw diskError("EIO");
  });
  const data = await folder(t);
  const outbox = await Outbox.open(data, { disk });
  const [first, second] = await outbox.appendAll(records.slice(0, 2));
  await outbox.acknowledge(first!, { status: 200, replayed: false });
  isFailing = true;
  await assert.rejects(outbox.append(records[2]!), DurabilityError);
  // The record is over for this process, and waits for the next one: neither call says less.
  await assert.rejects(outbox.acknowledge(second!, { status: 200, replayed: false }), FencedError);
  await assert.rejects(outbox.close(), /2 acknowledgements/);
  await using again = await Outbox.open(data);
  assert.ok((await contents(again)).has(second!));
});

test("a full disk refuses a record and fences nothing", async (t) => {
  let isFull = false;
  const disk = watched((call) => {
    if (isFull && (call === "write" || call === "create")) throw diskError("ENOSPC");
  });
  const data = await folder(t);
  const outbox = await Outbox.open(data, { disk });
  await outbox.append(records[0]!);
  isFull = true;
  await assert.rejects(outbox.append(records[1]!), FullError);
  await assert.rejects(outbox.append(records[1]!), FullError);
  assert.equal(outbox.isFenced, false);
  isFull = false;
  assert.equal(await outbox.append(records[2]!), 2);
  await outbox.close();
  await using again = await Outbox.open(data);
  assert.deepEqual([...(await contents(again)).values()], [texts[0], texts[2]]);
  assert.deepEqual(again.damage, []);
});

test("answered segments are given up, and what waits in them is carried", async (t) => {
  const data = await folder(t);
  const outbox = await Outbox.open(data, { segmentBytesMax: 1 << 20 });
  const kept = await outbox.append(records[7]!);
  for (let epoch = 0; epoch < 4_500; epoch += 100) {
    const bodies = Array.from({ length: 100 }, (_, index) => signed(epoch + index, "many"));
    const seqs = await outbox.appendAll(bodies);
    for (const seq of seqs) await outbox.acknowledge(seq, { status: 200, replayed: false });
  }
  await outbox.close();
  const taken = await Promise.all((await files(data)).map(async (path) => (await stat(path)).size));
  assert.ok(taken.reduce((sum, size) => sum + size, 0) < 4 << 20, `${taken}`);
  await using again = await Outbox.open(data);
  assert.deepEqual([...(await contents(again))], [[kept, texts[7]]]);
  assert.deepEqual([again.lost, again.damage], [0, []]);
  assert.ok((await again.append(records[6]!)) > 4_500);
});

test("many appends at once fit into the smallest segments, and one that cannot fit is refused alone", async (t) => {
  await using outbox = await Outbox.open(await folder(t), { segmentBytesMax: 1 << 20 });
  const body = records[0]!;
  const [long, large, ...seqs] = await Promise.allSettled([
    outbox.append(body, { source: "x".repeat(70_000) }),
    outbox.appendAll(Array.from({ length: 1_000 }, () => body)),
    ...Array.from({ length: 2_000 }, () => outbox.append(body)),
  ]);
  for (const refused of [long, large]) assert.ok(refused?.status === "rejected" && refused.reason instanceof ContractError);
  assert.deepEqual(seqs.map((each) => each.status === "fulfilled" && each.value), seqs.map((_, index) => index + 1));
});

test("the last epoch there is can be kept, and read again", async (t) => {
  const data = await folder(t);
  const outbox = await Outbox.open(data);
  await outbox.append(signed(Number.MAX_SAFE_INTEGER));
  await outbox.close();
  await using again = await Outbox.open(data);
  assert.equal(again.pendingCount, 1);
});

test("what may wait is bounded, and nothing is taken beyond", async (t) => {
  await using outbox = await Outbox.open(await folder(t), { recordsMax: 2 });
  await outbox.appendAll(records.slice(0, 2));
  await assert.rejects(outbox.append(records[2]!), UnavailableError);
  await outbox.acknowledge(1, { status: 409, replayed: false });
  assert.equal(await outbox.append(records[2]!), 4); // Behind the acknowledgement, which is a frame too.
});

test("what is no record is refused, and what came before it in the call is not kept", async (t) => {
  await using outbox = await Outbox.open(await folder(t));
  await assert.rejects(outbox.appendAll([records[0]!, Buffer.from("{}")]), Refusal);
  assert.equal(outbox.pendingCount, 0);
});

test("a folder of a server, a file of another stream and a newer format are refused unchanged", async (t) => {
  const data = await folder(t);
  await writeFile(join(data, "server.toml"), "");
  await assert.rejects(Outbox.open(data), ContractError);
  const newer = await folder(t);
  await (await Outbox.open(newer)).close();
  const [path] = await files(newer);
  const bytes = await readFile(path!);
  // Format 2 with a sound preface, as a later release would write it.
  const { crc32c } = await import("../wal/crc32c.js");
  bytes.writeUInt16LE(2, 8);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 12)), 12);
  await writeFile(path!, bytes);
  await assert.rejects(Outbox.open(newer), /format 2, which release 0\.1 and later read/);
  assert.deepEqual(await readFile(path!), bytes);
});

test("a segment that was cut short after it was closed is told, with what is lost", async (t) => {
  const data = await folder(t);
  const outbox = await Outbox.open(data);
  for (const record of records.slice(0, 3)) await outbox.append(record);
  await outbox.close();
  const [path] = await files(data);
  await truncate(path!, (await stat(path!)).size - 200);
  await using again = await Outbox.open(data);
  assert.deepEqual([...(await contents(again)).values()], texts.slice(0, 2));
  assert.equal(again.lost, 1);
  assert.match(again.damage.join(), /bytes (are missing|do not verify)/);
});
