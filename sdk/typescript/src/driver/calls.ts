/** The driver's operations on a server. */

import type { Answer } from "../client/answer.js";
import { BatchRefusedError, Client, DeadlineError, NoAnswerError, SchemeError, UntrustedError } from "../client/index.js";
import { ContractError } from "../protocol/errors.js";
import type { Op, Ops, Request } from "./ops.js";

let client: Client | null = null;

export const callOps: Ops = {
  "client.open": called(async (request) => {
    const { url, token, retries, deadline_s: deadlineS } = request as {
      url: string;
      token: string | null;
      retries: number;
      deadline_s: number;
    };
    // What is tested is what happens, and not for how long it is waited.
    client = new Client(url, { token, deadlineS, retry: { retriesMax: retries, waitFirstS: 0.02, waitMaxS: 0.1 } });
    return { ok: true };
  }),
  "client.submit": called(async (request) => told(await openClient().submit(bytes(request["body"])))),
  "client.batch": called(async (request) => {
    const encoding = request["encoding"] as string | null;
    // No platform of this SDK has another way to compress.
    if (encoding !== null && encoding !== "gzip") return { unknown: `encoding ${encoding}` };
    const bodies = (request["bodies"] as unknown[]).map(bytes);
    try {
      return { answers: (await openClient().batch(bodies, { encoding })).map(told) };
    } catch (error) {
      if (!(error instanceof BatchRefusedError)) throw error;
      return { refusal: told(error.answer) };
    }
  }),
  "client.get": called(async (request) => told(await openClient().get(request["pcs_id"] as string))),
  "client.list": called(async (request) => told(await openClient().list(request["query"] as Record<string, string>))),
};

/** Return the client that was opened last. */
export function openClient(): Client {
  if (client === null) throw new Error("expected an open client, got none");
  return client;
}

/** Return an operation that answers with what the client throws on purpose. */
export function called(op: (request: Request) => Promise<object>): Op {
  return async (request) => {
    try {
      return await op(request);
    } catch (error) {
      if (error instanceof DeadlineError) return { error: { kind: "deadline", code: error.code } };
      if (error instanceof NoAnswerError) return { error: { kind: "unavailable", code: error.code } };
      if (error instanceof SchemeError) return { error: { kind: "scheme", code: null } };
      if (error instanceof UntrustedError) return { error: { kind: "untrusted", code: null }, words: error.message };
      if (error instanceof ContractError) return { error: { kind: "contract", code: null } };
      throw error;
    }
  };
}

function told(answer: Answer): object {
  if (!answer.isFinal) return { error: { kind: "unavailable", code: answer.code } };
  const { status, replayed, code, body, attempts } = answer;
  return { status, replayed, code, body: Buffer.from(body).toString("base64"), attempts };
}

function bytes(text: unknown): Uint8Array {
  return Buffer.from(text as string, "base64");
}
