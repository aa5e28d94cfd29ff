/** A URL with the other scheme than its server's ends a call at once, over real sockets. */

import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { TLSSocket } from "node:tls";

import { Client, DeadlineError, NoAnswerError, SchemeError } from "../client/index.js";
import { Outbox } from "../outbox/node.js";
import { folder } from "./folders.js";
import { scripted } from "./servers.js";
import { signed } from "./signed.js";

const RECORD = signed(1);
const quick = { retry: { waitFirstS: 0.001, waitMaxS: 0.002 }, token: "s3cret-token" };
const HANDSHAKE = 0x16;

/** Start a server of connections, which are served once their first bytes are there. */
async function listening(t: TestContext, serve: (socket: Socket, first: Buffer) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("data", (first: Buffer) => {
      // The rest, and what was looked at, is for who serves it.
      socket.pause();
      serve(socket, first);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Start a server that speaks TLS, trusts nobody, and meets HTTP with these bytes. */
function withTls(t: TestContext, said: string): Promise<string> {
  return listening(t, (socket, first) => {
    if (first[0] !== HANDSHAKE) {
      socket.end(Buffer.from(said, "latin1"));
      return;
    }
    socket.unshift(first);
    // It has no certificate: the handshake ends with an alert, which is TLS.
    new TLSSocket(socket, { isServer: true }).on("error", () => undefined);
  });
}

const meetings: [string, string][] = [
  ["closes", ""],
  ["alerts", "\x15\x03\x03\x00\x02\x02\x46"],
  ["refuses", "HTTP/1.0 400 Bad Request\r\n\r\nThis is HTTPS.\n"],
];
for (const [how, said] of meetings) {
  test(`http:// to a server with TLS that ${how} ends every call`, async (t) => {
    const url = `http://${await withTls(t, said)}`;
    const calls = [
      (client: Client) => client.submit(RECORD),
      (client: Client) => client.batch([RECORD, RECORD]),
      (client: Client) => client.get("ab".repeat(32)),
    ];
    for (const call of calls) {
      await assert.rejects(call(new Client(url, quick)), (error) => {
        assert.ok(error instanceof SchemeError, String(error));
        assert.match(error.message, /expected a server that speaks HTTP without TLS, got one with: is its URL https:\/\/\?$/);
        assert.ok(!error.message.includes("s3cret"));
        return true;
      });
    }
  });
}

test("https:// to a server without TLS ends every call", async (t) => {
  const server = await scripted(t, () => ({ status: 200 }));
  const other = await listening(t, (socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n"));
  for (const url of [server.url.replace("http:", "https:"), `https://${other}`]) {
    const expected = /expected a server that speaks TLS, got one that does not: is its URL http:\/\/\?$/;
    await assert.rejects(new Client(url, quick).submit(RECORD), (error) => error instanceof SchemeError && expected.test(error.message));
    await assert.rejects(new Client(url, quick).batch([RECORD]), SchemeError);
  }
  assert.equal(server.asked.length, 0);
});

test("an outbox is told, and what it holds waits", async (t) => {
  await using outbox = await Outbox.open(await folder(t));
  await outbox.append(RECORD);
  const server = await scripted(t, () => ({ status: 200 }));
  await assert.rejects(outbox.ship(new Client(server.url.replace("http:", "https:"), quick)), SchemeError);
  assert.equal(outbox.pendingCount, 1);
});

test("a connection that only ends is tried again, and asked once for TLS", async (t) => {
  let [handshakes, requests] = [0, 0];
  const address = await listening(t, (socket, first) => {
    if (first[0] === HANDSHAKE) handshakes += 1;
    else requests += 1;
    socket.end(requests > 3 ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}" : "");
  });
  const answer = await new Client(`http://${address}`, quick).submit(RECORD);
  assert.deepEqual([answer.status, handshakes], [200, 1]);
});

test("what the deadline ended is a deadline, with retries left and without", async (t) => {
  const floods = (socket: Socket): void => {
    const timer = setInterval(() => socket.write("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), 10);
    socket.on("close", () => clearInterval(timer)).resume();
  };
  for (const serve of [floods, (socket: Socket): void => void socket.resume()]) {
    const url = `http://${await listening(t, serve)}`;
    for (const retriesMax of [0, 3]) {
      const client = new Client(url, { deadlineS: 0.2, retry: { ...quick.retry, retriesMax } });
      await assert.rejects(client.submit(RECORD), DeadlineError);
    }
    // The request's own bound is none: another attempt had time.
    const client = new Client(url, { timeoutS: 0.05, retry: { ...quick.retry, retriesMax: 1 } });
    await assert.rejects(client.submit(RECORD), (error) => error instanceof NoAnswerError && !(error instanceof DeadlineError));
  }
});
