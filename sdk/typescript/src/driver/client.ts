/** The driver's operations on a server and on an outbox. */

import { callOps } from "./calls.js";
import type { Ops } from "./ops.js";
import { outboxOps } from "./outbox.js";

export const clientOps: Ops = { ...callOps, ...outboxOps };
