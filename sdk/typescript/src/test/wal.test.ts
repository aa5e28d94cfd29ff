/** Streams of segments: what a reader may believe, and what recovery and retention leave. */

import assert from "node:assert/strict";
import { copyFile, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { realDisk } from "../wal/disk.js";
import { HEADER_BYTES, type NewFrame, SegmentKey, packBatch } from "../wal/framing.js";
import { Stream } from "../wal/stream.js";
import { crc32c } from "../wal/crc32c.js";
import type { Scanned } from "../wal/values.js";
import { walk } from "../wal/walk.js";
import { unlocked } from "./disks.js";
import { folder } from "./folders.js";

const BOUNDS = { segmentBytesMax: 2_000, frameBytesMax: 400, segmentAgeMaxS: Infinity };

function frame(label: string): NewFrame {
  return { receivedNs: 1n, meta: Buffer.from("{}"), payload: Buffer.from(label.padEnd(300, ".")) };
}

async function all(stream: Stream): Promise<Scanned[]> {
  const found: Scanned[] = [];
  for await (const item of stream.scan()) found.push(item);
  return found;
}

function brief(items: readonly Scanned[]): string[] {
  return items.map((item) => (item.kind === "frame" ? `${item.frame.seq}` : `${item.what} ${item.firstSeq}-${item.lastSeq}`));
}

test("the checksum is CRC-32C, in pieces and at once", () => {
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
  assert.equal(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43);
  const data = Buffer.from(Array.from({ length: 100 }, (_, at) => (at * 37) & 255));
  for (let cut = 0; cut <= data.length; cut += 1) {
    assert.equal(crc32c(data.subarray(cut), crc32c(data.subarray(0, cut))), crc32c(data));
  }
});

for (const wereGiven of [false, true]) {
  test(`numbers that ${wereGiven ? "frames had are missed" : "were passed over are not missed"}, over reopenings`, async (t) => {
    const data = await folder(t);
    let stream = await Stream.open(realDisk, data, "s", BOUNDS);
    await stream.append([frame("one")]);
    await stream.skipTo(7n, { wereGiven });
    for (let reopened = 0; reopened < 3; reopened += 1) {
      await stream.close();
      stream = await Stream.open(realDisk, data, "s", BOUNDS);
      assert.equal(stream.nextSeq, 7n);
    }
    await stream.append([frame("seven")]);
    assert.deepEqual(brief(await all(stream)), wereGiven ? ["1", "bytes are missing 2-6", "7"] : ["1", "7"]);
    await stream.close();
  });
}

test("what retention removed and a crash brought back is not served, whatever became of it", async (t) => {
  const data = await folder(t);
  const stream = await Stream.open(realDisk, data, "s", BOUNDS);
  for (let number = 1; number <= 12; number += 1) await stream.append([frame(`${number}`)]);
  const names = (await readdir(data)).filter((name) => name.endsWith(".seg")).sort();
  const saved = await folder(t);
  for (const name of names) await copyFile(join(data, name), join(saved, name));
  const removed = await stream.retainFrom(9n, 12n);
  assert.ok(removed >= 2);
  await stream.close();
  for (const [index, name] of names.slice(0, removed).entries()) {
    const bytes = await readFile(join(saved, name));
    if (index === 1) bytes[40]! ^= 1; // One comes back with a damaged header.
    await writeFile(join(data, name), bytes);
  }
  const again = await Stream.open(realDisk, data, "s", BOUNDS);
  assert.deepEqual(again.recovery.damage, []);
  const found = brief(await all(again));
  assert.equal(found.at(-1), "12");
  assert.ok(found.every((each) => /^\d+$/.test(each) && Number(each) >= Number(again.firstSeq)), `${found}`);
  const left = await readdir(data);
  assert.ok(names.slice(0, removed).every((name) => !left.includes(name)));
  await again.close();
});

test("behind damage a number that cannot follow is not believed, also under a sound checksum", () => {
  const key = new SegmentKey(Buffer.alloc(16, 7));
  const first = packBatch(key, [frame("1")], { firstSeq: 1n, durableOffset: HEADER_BYTES }).data;
  const far = packBatch(key, [frame("far")], { firstSeq: 1n << 40n, durableOffset: HEADER_BYTES }).data;
  const next = packBatch(key, [frame("2")], { firstSeq: 2n, durableOffset: HEADER_BYTES }).data;
  const data = Buffer.concat([Buffer.alloc(HEADER_BYTES), first, Buffer.from("damage"), far, next]);
  const items = [...walk(data, key, { end: data.length, firstSeq: 1n })];
  assert.deepEqual(items.flatMap((item) => (item.kind === "frame" ? [item.seq] : [])), [1n, 2n]);
});

test("a walk over bytes that are nothing ends, and finds nothing", () => {
  const key = new SegmentKey(Buffer.alloc(16, 9));
  let seed = 1;
  const data = Buffer.from(Array.from({ length: 20_000 }, () => (seed = (seed * 48_271) % 0x7fffffff) & 255));
  for (const firstSeq of [1n, null, (1n << 64n) - 1n]) {
    assert.ok([...walk(data, key, { end: data.length + 5, firstSeq })].every((item) => item.kind === "gap"));
  }
});

test("a stream that holds another one's segments is refused, and its files are as they were", async (t) => {
  const data = await folder(t);
  await (await Stream.open(unlocked, data, "s", BOUNDS)).close();
  const before = await readdir(data);
  await assert.rejects(Stream.open(unlocked, data, "other", BOUNDS), /expected stream other/);
  assert.deepEqual(await readdir(data), before);
});
