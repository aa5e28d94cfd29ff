/** The client over real sockets: what is final, what is repeated, how long, and what is never said. */

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "node:test";

import { BatchRefusedError, Client, DeadlineError, NoAnswerError, parseRetryAfter, splitBatch } from "../client/index.js";
import { ContractError } from "../index.js";
import { type Reply, problem, scripted } from "./servers.js";
import { signed } from "./signed.js";

const RECORD = signed(1);
const TEXT = Buffer.from(RECORD).toString();
const quick = { retry: { waitFirstS: 0.001, waitMaxS: 0.002 } };

for (const status of [200, 202, 400, 401, 403, 404, 409, 410, 413, 415, 422]) {
  test(`${status} is final`, async (t) => {
    const server = await scripted(t, () => ({ status, body: problem("said") }));
    const answer = await new Client(server.url, quick).submit(RECORD);
    assert.deepEqual([answer.status, answer.isFinal, answer.attempts, server.asked.length], [status, true, 1, 1]);
    assert.equal(answer.code, status < 400 ? null : "said");
    assert.deepEqual([server.asked[0]?.body, server.asked[0]?.headers["content-type"]], [TEXT, "application/json"]);
  });
}

for (const status of [408, 429, 500, 502, 503, 504]) {
  test(`${status} is asked again, never sooner than the server said`, async (t) => {
    const waits: number[] = [];
    const server = await scripted(t, (_, number) =>
      number < 3 ? { status, headers: { "Retry-After": "7" } } : { status: 200 },
    );
    const client = new Client(server.url, {
      deadlineS: 600,
      sleep: async (seconds) => {
        waits.push(seconds);
      },
    });
    const answer = await client.submit(RECORD);
    assert.deepEqual([answer.status, answer.attempts, waits.length], [200, 3, 2]);
    for (const [at, wait] of waits.entries()) assert.ok(wait >= 7 && wait < 7 + 0.1 * 2 ** at, `${waits}`);
  });
}

test("a cut answer, a silent server and a closed port are asked again, and bounded", async (t) => {
  const replies: Reply[] = [{ status: 200, missing: 5 }, { status: 0, isSilent: true }, { status: 200, body: "{}" }];
  const server = await scripted(t, (_, number) => replies[number - 1] as Reply);
  const answer = await new Client(server.url, { ...quick, timeoutS: 0.5 }).submit(RECORD);
  assert.deepEqual([answer.status, answer.attempts], [200, 3]);
  const nobody = new Client("http://127.0.0.1:1", { retry: { ...quick.retry, retriesMax: 2 } });
  await assert.rejects(nobody.submit(RECORD), (error) => error instanceof NoAnswerError && error.attempts === 3);
});

test("attempts are bounded, and the last code is told", async (t) => {
  const server = await scripted(t, () => ({ status: 503, body: problem("overloaded") }));
  const client = new Client(server.url, { retry: { ...quick.retry, retriesMax: 3 } });
  await assert.rejects(client.submit(RECORD), (error) => {
    assert.ok(error instanceof NoAnswerError && !(error instanceof DeadlineError));
    assert.deepEqual([error.attempts, error.code, error.status], [4, "overloaded", 503]);
    return true;
  });
  assert.equal(server.asked.length, 4);
});

test("a wait beyond the deadline is not begun", async (t) => {
  const server = await scripted(t, () => ({ status: 429, headers: { "Retry-After": "60" } }));
  const client = new Client(server.url, { deadlineS: 30, sleep: () => Promise.reject(new Error("slept")) });
  await assert.rejects(client.submit(RECORD), (error) => error instanceof DeadlineError && error.retryAfterS === 60);
  assert.equal(server.asked.length, 1);
});

test("an aborted signal ends a call with its reason, while it waits and while it is asked", async (t) => {
  const server = await scripted(t, (_, number) => (number === 1 ? { status: 503 } : { status: 0, isSilent: true }));
  const client = new Client(server.url, { retry: { waitFirstS: 60, waitMaxS: 60 }, random: () => 0.999 });
  for (const retriesMax of [8, 0]) {
    const abort = new AbortController();
    const call = client.submit(RECORD, { signal: abort.signal, retriesMax });
    await untilAsked(server.asked, retriesMax === 8 ? 1 : 2);
    abort.abort(new Error("enough"));
    await assert.rejects(call, /enough/);
  }
});

test("a redirect is not followed", async (t) => {
  const other = await scripted(t, () => ({ status: 200 }));
  const server = await scripted(t, () => ({ status: 307, headers: { Location: `${other.url}/v1/pcs/submit` } }));
  await assert.rejects(new Client(server.url, { retry: { retriesMax: 0 } }).submit(RECORD), NoAnswerError);
  assert.equal(other.asked.length, 0);
});

test("an answer larger than any of the server's is not read", async (t) => {
  const server = await scripted(t, () => ({ status: 200, body: "x".repeat((1 << 20) + 1) }));
  const client = new Client(server.url, { retry: { retriesMax: 0 } });
  await assert.rejects(client.submit(RECORD), (error: Error) => /at most 1048576 bytes/.test((error.cause as Error).message));
});

test("no error holds the token, the record or a password", async (t) => {
  const server = await scripted(t, () => ({ status: 503, body: TEXT }));
  const client = new Client(server.url, { token: "s3cret-token", retry: { retriesMax: 0 } });
  const nobody = new Client("http://127.0.0.1:1", { token: "s3cret-token", retry: { retriesMax: 0 } });
  for (const each of [client, nobody]) {
    const error = await each.submit(RECORD).catch((caught: unknown) => caught);
    const said = inspect(error, { depth: 9, showHidden: true });
    assert.ok(!said.includes("s3cret") && !said.includes("merkle_root"), said);
  }
  assert.equal(server.asked[0]?.headers.authorization, "Bearer s3cret-token");
  for (const url of ["http://user:s3cret@host", "ftp://s3cret/", "http://host/?s3cret", "s3cret"]) {
    assert.throws(() => new Client(url), (error) => error instanceof ContractError && !error.message.includes("s3cret"));
  }
  assert.throws(() => new Client(server.url, { token: "s3cret\nX: y" }), (error: Error) => !error.message.includes("s3cret"));
});

test("Retry-After is read in both forms, a date from the answer's own", () => {
  const date = "Sun, 06 Nov 1994 08:49:37 GMT";
  for (const later of ["Sun, 06 Nov 1994 08:49:57 GMT", "Sunday, 06-Nov-94 08:49:57 GMT", "Sun Nov  6 08:49:57 1994"]) {
    assert.equal(parseRetryAfter(later, date, 0), 20, later);
    assert.equal(parseRetryAfter(date, later, 0), 0);
    assert.equal(parseRetryAfter(later, null, Date.UTC(1994, 10, 6, 8, 49, 50)), 7);
  }
  assert.equal(parseRetryAfter(" 12 ", null, 0), 12);
  for (const none of ["", "-1", "1.5", "soon", "12345678901", "Sun, 31 Nov 1994 08:49:37 GMT"]) {
    assert.equal(parseRetryAfter(none, null, 0), null, none);
  }
  assert.equal(parseRetryAfter(null, null, 0), null);
});

test("a batch is sent as gzip, and only lines without a final answer are sent again", async (t) => {
  const bodies = [1, 2, 3].map((epoch) => signed(epoch));
  const server = await scripted(t, (asked, number) => {
    const lines = asked.body.trimEnd().split("\n").map((line) => {
      const { epoch } = JSON.parse(line) as { epoch: number };
      const isLate = epoch === 2 && number === 1;
      return isLate
        ? `{"status":503,"body":{"code":"storage_unavailable"},"retry_after":0}`
        : `{"status":200,"body":{"b":"\\u0041","x":"}\\"body\\":1","epoch":${epoch}},"replayed":true,"received_at":"2026-11-01T12:00:00.000Z"}`;
    });
    return { status: 200, body: `${lines.join("\n")}\n` };
  });
  const answers = await new Client(server.url, quick).batch(bodies);
  assert.deepEqual(answers.map(({ status, attempts, replayed }) => [status, attempts, replayed]), [[200, 1, true], [200, 2, true], [200, 1, true]]);
  // Byte for byte what the server wrote, and not what JSON would make of it.
  assert.deepEqual(answers.map((answer) => answer.text()), [1, 2, 3].map((epoch) => `{"b":"\\u0041","x":"}\\"body\\":1","epoch":${epoch}}`));
  assert.deepEqual(server.asked.map(({ headers }) => headers["content-encoding"]), ["gzip", "gzip"]);
  assert.equal(server.asked[1]?.body, `${Buffer.from(bodies[1]!)}\n`);
});

test("an answer to a batch that is not one whole line for each record answers none", async (t) => {
  const whole = '{"status":200,"body":{}}\n';
  for (const body of [whole, whole.repeat(3), whole + whole.trimEnd(), `${whole}{"status":1,"body":{}}\n`, `${whole}[]\n`, ""]) {
    const server = await scripted(t, () => ({ status: 200, body }));
    const client = new Client(server.url, { retry: { ...quick.retry, retriesMax: 1 } });
    await assert.rejects(client.batch([RECORD, RECORD], { encoding: null }), NoAnswerError, JSON.stringify(body));
    assert.equal(server.asked.length, 2);
  }
});

test("a batch that is refused as a whole is asked once", async (t) => {
  const server = await scripted(t, () => ({ status: 413, body: problem("too_large") }));
  await assert.rejects(new Client(server.url, quick).batch([RECORD]), (error) => error instanceof BatchRefusedError && error.answer.code === "too_large");
  assert.equal(server.asked.length, 1);
});

test("what is no batch is not sent", async (t) => {
  const server = await scripted(t, () => ({ status: 200 }));
  const client = new Client(server.url);
  for (const bodies of [[], [Buffer.from("")], [Buffer.from("{\n}")], [Buffer.from("{\r}")], [Buffer.alloc(65_537, "x")]]) {
    await assert.rejects(client.batch(bodies), ContractError);
  }
  assert.equal(server.asked.length, 0);
  const pieces = [...splitBatch([1, 2, 3, 4, 5].map(() => RECORD), { recordsMax: 2 })];
  assert.deepEqual(pieces.map((piece) => piece.length), [2, 2, 1]);
});

test("get and list ask for what they were given", async (t) => {
  const server = await scripted(t, () => ({ status: 200, body: '{"records":[],"next":null}' }));
  const client = new Client(`${server.url}/prefix/`, { token: "t" });
  await client.get("a/b");
  assert.deepEqual((await client.list({ shard_id: "a&b", limit: 5 })).json(), { records: [], next: null });
  assert.deepEqual(server.asked.map(({ path }) => path), ["/prefix/v1/pcs/a%2Fb?version=1.0", "/prefix/v1/pcs?shard_id=a%26b&limit=5"]);
});

async function untilAsked(asked: readonly unknown[], count: number): Promise<void> {
  while (asked.length < count) await new Promise((resolve) => setImmediate(resolve));
}
