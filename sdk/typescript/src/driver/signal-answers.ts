/** What this SDK says to a window: the answers to `signals_points.json` and `signals_bytes.json`. */

import { ContractError, decodeBase64, fromHex, WindowError } from "../index.js";
import { type Summary, summariseBytes, summarisePoints } from "../signals/index.js";
import { real, Refused } from "./answer-values.js";
import type { Expected, Given } from "./answers.js";

export function signalsPoints(given: Given): Expected {
  const rows = (given.rows_bits as string[]).map((bits, row) => rowOf(bits, given.rows[row]));
  return answered(() => summarisePoints(rows, { seed: given.seed, scales: given.scales }));
}

export function signalsBytes(given: Given): Expected {
  const { data, seed, scales } = given;
  return answered(() => summariseBytes(decodeBase64(data), { seed, scales }));
}

/** Returns a row by its bits; its texts must say the same. */
function rowOf(bits: string, texts: readonly string[]): number[] {
  const data = new DataView(fromHex(bits).buffer);
  const values: number[] = [];
  for (let place = 0; place < data.byteLength; place += 8) values.push(data.getFloat64(place));
  const areOne = values.length === texts.length && values.every((x, i) => Object.is(x, Number(texts[i])));
  if (!areOne) throw new Error("expected one row in two spellings, got two rows");
  return values;
}

function answered(summarise: () => Summary): Expected {
  let made: Summary;
  try {
    made = summarise();
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    const [row, column] = error instanceof WindowError ? [error.row, error.column] : [null, null];
    throw new Refused({ code: "window_refused", row, column });
  }
  return {
    profile: made.profile,
    n: made.n,
    d: made.d,
    merkle_root: made.merkleRoot,
    N_j: Object.fromEntries(made.counts),
    D_hat: real(made.dHat),
    coh_star: real(made.cohStar),
    v_star: made.vStar.map(real),
    r: real(made.r),
    regime: made.regime,
    budget: real(made.budget),
  };
}
