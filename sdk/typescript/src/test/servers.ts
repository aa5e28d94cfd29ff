/** A server that answers as it is told, over real sockets, and remembers what it was asked. */

import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { gunzipSync } from "node:zlib";

/** What is answered. */
export interface Reply {
  readonly status: number;
  readonly body?: string;
  readonly headers?: OutgoingHttpHeaders;
  /** Bytes that are announced and never sent: the answer is cut. */
  readonly missing?: number;
  /** It never comes. */
  readonly isSilent?: boolean;
}

/** One request. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface Scripted {
  readonly url: string;
  readonly asked: Asked[];
}

/** Start a server that answers the nth request with what `script` returns for it, counted from 1. */
export async function scripted(test: TestContext, script: (asked: Asked, number: number) => Reply): Promise<Scripted> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const sent = Buffer.concat(chunks);
      const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
      asked.push({ method: request.method ?? "", path: request.url ?? "", headers: request.headers, body: body.toString() });
      answer(response, script(asked.at(-1) as Asked, asked.length));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

function answer(response: ServerResponse, reply: Reply): void {
  if (reply.isSilent) return;
  const body = Buffer.from(reply.body ?? "{}");
  response.writeHead(reply.status, { "Content-Length": body.length + (reply.missing ?? 0), ...reply.headers });
  response.write(body, () => (reply.missing ? response.destroy() : response.end()));
}

/** Return the body of a decision about a record. */
export function decision(record: string): string {
  const { pcs_id } = JSON.parse(record) as { pcs_id: string };
  return JSON.stringify({ pcs_id, accepted: true });
}

/** Return the body of a problem. */
export function problem(code: string): string {
  return JSON.stringify({ type: `urn:fractal-lba:problem:${code}`, code, status: 0 });
}
