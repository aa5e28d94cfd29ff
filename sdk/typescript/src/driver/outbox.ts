/** The driver's operations on an outbox. */

import { ContractError, CorruptionError, DurabilityError, FencedError, FullError, LockedError, UnavailableError } from "../protocol/errors.js";
import { Outbox } from "../outbox/node.js";
import { called, openClient } from "./calls.js";
import type { Ops, Request } from "./ops.js";

let outbox: Outbox | null = null;

export const outboxOps: Ops = {
  "outbox.open": async (request) => {
    try {
      const segmentBytesMax = request["segment_bytes_max"] as number | undefined;
      outbox = await Outbox.open(text(request, "folder"), segmentBytesMax === undefined ? {} : { segmentBytesMax });
    } catch (error) {
      const kind = kindOf(error);
      if (kind === null) throw error;
      return { error: { kind } };
    }
    return { pending: outbox.pendingCount };
  },
  "outbox.append": async (request) => {
    const bodies = (request["bodies"] as string[]).map((body) => Buffer.from(body, "base64"));
    return orRefused(async () => ({ seqs: await opened().appendAll(bodies, { source: text(request, "source") }) }));
  },
  "outbox.pending": () =>
    orRefused(async () => {
      const windows = [];
      for await (const { seq, body } of opened().pending()) {
        windows.push({ seq, body: Buffer.from(body).toString("base64") });
      }
      return { windows };
    }),
  "outbox.acknowledge": async (request) => {
    const { seq, status, replayed } = request as { seq: number; status: number; replayed: boolean };
    return orRefused(async () => {
      await opened().acknowledge(seq, { status, replayed });
      return { ok: true };
    });
  },
  "outbox.ship": called(async () => {
    try {
      const shipped = await opened().ship(openClient());
      return {
        answers: shipped.map(({ seq, answer: { status, replayed, code } }) => ({ seq, status, replayed, code })),
      };
    } catch (error) {
      if (!(error instanceof DurabilityError)) throw error;
      return orRefused(() => Promise.reject(error));
    }
  }),
  "outbox.damage": () => ({ damage: opened().damage, lost: opened().lost }),
  "outbox.close": () =>
    orRefused(async () => {
      const closing = opened();
      outbox = null;
      await closing.close();
      return { ok: true };
    }),
};

/** Answer what the outbox or its disk refuses by its kind; what else is thrown is a crash. */
async function orRefused(work: () => Promise<object>): Promise<object> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof FullError || error instanceof UnavailableError) return { error: { kind: "full", code: null } };
    if (error instanceof FencedError) return { error: { kind: "fenced", code: null } };
    const kind = kindOf(error);
    if (kind === null) throw error;
    return { error: { kind: kind === "newer" ? "contract" : kind, code: null } };
  }
}

function opened(): Outbox {
  if (outbox === null) throw new Error("expected an open outbox, got none");
  return outbox;
}

function text(request: Request, name: string): string {
  return request[name] as string;
}

function kindOf(error: unknown): "locked" | "damaged" | "newer" | "disk" | null {
  if (error instanceof LockedError) return "locked";
  if (error instanceof CorruptionError) return "damaged";
  if (error instanceof DurabilityError) return "disk";
  // What a newer program wrote is refused before anything is changed; a wrong folder is, too.
  return error instanceof ContractError ? "newer" : null;
}
