/** The driver's operations on a server and on an outbox. */

import type { Ops } from "./ops.js";

export const clientOps: Ops = {};
