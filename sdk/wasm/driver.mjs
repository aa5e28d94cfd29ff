/** The driver: one JSON object a line in, one a line out, as `sdk/driver.md` says. */

import { createInterface } from "node:readline";
import { readFile } from "node:fs/promises";

import { ANSWERS, answer } from "./answers.mjs";
import { decodeBase64, encodeBase64, load, Refused } from "./index.js";

const ALGS = { hmac: "hmac-sha256", ed25519: "ed25519" };

const { version } = JSON.parse(await readFile(new URL("package.json", import.meta.url), "utf8"));
const core = await load();

function sign({ alg, kid, secret, record }) {
  const signer = core.signer(ALGS[alg], kid, decodeBase64(secret));
  try {
    return { body: encodeBase64(signer.sign(record)) };
  } catch (error) {
    if (!(error instanceof Refused) || error.kind !== "record") throw error;
    const { code, reason, member } = error;
    return { refused: { code, reason, member } };
  } finally {
    signer.free();
  }
}

const OPS = {
  hello: () => ({
    sdk: "wasm",
    version,
    files: Object.keys(ANSWERS).map((name) => `${name}.json`),
    ops: Object.keys(OPS),
  }),
  answer: ({ file, input }) => {
    const name = file.replace(/\.json$/, "");
    return Object.hasOwn(ANSWERS, name) ? answer(core, name, input) : { unknown: file };
  },
  sign,
};

function answered(line) {
  try {
    const request = JSON.parse(line);
    return Object.hasOwn(OPS, request.op) ? OPS[request.op](request) : { unknown: request.op };
  } catch (error) {
    return { crash: String(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answered(line))}\n`);
}
