/** Signals: what holds beyond the golden vectors. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ContractError, rounded, WindowError } from "../index.js";
import { deflatedLength } from "../signals/deflate.js";
import { type PointsWindow, summariseBytes, summarisePoints } from "../signals/index.js";

const LENGTHS = [3, 100, 5_000, 65_536, 196_608];
/** Bytes that zlib 1.2.13 writes at level 6 for so many bytes of each kind. */
const ORIGINAL: { readonly [kind: string]: readonly number[] } = {
  noise: [11, 111, 5011, 65562, 196674],
  few: [11, 52, 1316, 15743, 46846],
  walk: [11, 71, 3220, 38892, 112822],
  words: [11, 58, 941, 10435, 30614],
  skew: [11, 98, 3309, 43637, 131109],
};
const WORDS = ["to ", "be ", "or ", "not ", "that ", "is ", "the ", "question "];

function bytesOf(kind: string, length: number): Uint8Array {
  const data: number[] = [];
  let state = 7;
  while (data.length < length) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const u = state >>> 16;
    if (kind === "noise") data.push(u % 256);
    else if (kind === "few") data.push(u % 3);
    else if (kind === "walk") data.push(((data.at(-1) ?? 128) + (u % 5) - 2 + 256) % 256);
    else if (kind === "words") data.push(...Buffer.from(WORDS[u % 8] as string));
    else data.push(Math.min(255, [...u.toString(2)].filter((bit) => bit === "1").length * (u % 7)));
  }
  return Uint8Array.from(data.slice(0, length));
}

for (const [kind, lengths] of Object.entries(ORIGINAL)) {
  test(`a stream of ${kind} is as long as the original zlib writes it`, () => {
    const found = LENGTHS.map((length) => deflatedLength(bytesOf(kind, length)));
    assert.deepEqual(found, lengths);
  });
}

test("a code whose lengths need more than seven bits is described as the original zlib does", () => {
  const text =
    "A8gBsgsKBQEBAQUA1wICVQIFCQwJ9gAAVgIQAAHKBwACAgE5AFEABgEEEr4CAQ4DkwAA3wcDmwUABDgEBVoCmgADzwOJ" +
    "Ax4BpAIEAQgG9QILAF0KkAUABwBgAgAAAwC2CAPdAgEEAAkBAgAJAwQGJwfqAQgzAAMBAwMD+ABzAQMRBpIEHAEOUgAC" +
    "AAABEwcHBgPiBQAFMgUBAQECBlMDAQIICAMPIwkBAQAIBgNuBQACAANSAgUBCAEGAwYIAQCXAgEBC/EBAbEaAQPSANMC" +
    "AAcDJgUtAS4H5wEFOQEECWoABrkCbwsGRwT5BgAAAACnAu4BCjwDBQMB4QXUBAoBAQECAzMJvgSbADgDAAABAAYFEgEB" +
    "A6QEAwKOAQMBpwC8AgF5AgPcCeID9gCZABcDAQQAAxCcBB0CAQUA8QECrQOcAAIKDgF/A6QIAAYEAwUBCQ==";
  assert.equal(deflatedLength(Buffer.from(text, "base64")), 282);
});

test("rounding gives no zero with a sign", () => {
  assert.ok(Object.is(rounded(-1e-12), 0));
  assert.ok(Object.is(rounded(-0), 0));
  assert.equal(rounded(-0.5000000005), -0.500000001);
});

test("a series, rows of numbers and rows of doubles are one window", () => {
  const series = [3, 1, 4, 1, 5, 9, 2, 6];
  const expected = summarisePoints(series);
  assert.deepEqual(summarisePoints(Float64Array.from(series)), expected);
  assert.deepEqual(summarisePoints(series.map((x) => [x])), expected);
  assert.deepEqual(summarisePoints(series.map((x) => Float64Array.of(x))), expected);
});

test("what is no window is refused, naming the first bad value", () => {
  const refused = (window: unknown): WindowError => {
    try {
      summarisePoints(window as PointsWindow);
    } catch (error) {
      assert.ok(error instanceof WindowError, String(error));
      return error;
    }
    throw new assert.AssertionError({ message: "expected a refusal, got none" });
  };
  const { row, column } = refused([[1, 2], [3, 4], [5, NaN]]);
  assert.deepEqual([row, column], [2, 1]);
  assert.equal(refused([1, 2, "3"]).row, 2);
  for (const window of [null, 7, "abc", [], [1, 2], [[], [], []], [[1], [1, 2], [3]], [[1], null, [3]]]) {
    assert.equal(refused(window).row, null, JSON.stringify(window));
  }
  assert.equal(refused([1, [2], 3]).row, 1);
});

test("a seed and scales out of range are refused before anything is computed", () => {
  const data = Uint8Array.of(1, 2, 3);
  for (const options of [{ seed: -1 }, { seed: 1.5 }, { scales: [2] }, { scales: [2, 3] }, { scales: [2, 2048] }]) {
    assert.throws(() => summariseBytes(data, options), ContractError);
  }
  assert.throws(() => summariseBytes(Uint8Array.of(1, 2)), WindowError);
  assert.throws(() => summariseBytes("abc" as unknown as Uint8Array), WindowError);
});
