/** The signals of a window: what a record says of it. `specs/signals.md` is the rule. */

export {
  DEFAULT_SCALES,
  DEFAULT_SEED,
  type SignalOptions,
  type Summary,
  summariseBytes,
  summarisePoints,
  summaryMembers,
} from "./summary.js";
export type { PointsWindow } from "./window.js";
