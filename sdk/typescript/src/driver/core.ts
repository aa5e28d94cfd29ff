/** The driver's operations on the protocol: golden vectors, and signing. */

import { ContractError, decodeBase64, encodeBase64, Key, Refusal, signRecord, storedBytes } from "../index.js";
import { answers, Refused } from "./answers.js";
import type { Ops, Request } from "./ops.js";

const ALGS = { hmac: "hmac-sha256", ed25519: "ed25519" } as const;

export const coreOps: Ops = { answer, sign };

async function answer(request: Request): Promise<object> {
  const file = String(request["file"]);
  const suite = Object.hasOwn(answers, file) ? answers[file] : undefined;
  if (suite === undefined) return { unknown: file };
  try {
    const expected = await suite(request["input"] as Parameters<typeof suite>[0]);
    return { result: "valid", expected };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { result: "invalid", expected: error.expected };
  }
}

function sign(request: Request): object {
  const key = new Key({
    kid: String(request["kid"]),
    tenant: "driver",
    alg: ALGS[request["alg"] as keyof typeof ALGS],
    secret: decodeBase64(String(request["secret"])),
  });
  try {
    const record = signRecord(request["record"] as Request, key);
    return { body: encodeBase64(storedBytes(record)) };
  } catch (error) {
    if (error instanceof Refusal) {
      return { refused: { code: error.code, reason: error.reason, member: error.member } };
    }
    if (error instanceof ContractError) return { refused: { code: null, reason: null, member: null } };
    throw error;
  }
}
