/**
 * This SDK before the golden vectors: each file's cases in, what is wrong out.
 *
 * A file, a flag or a field it does not know is an error: a runner that passes over what it does not
 * know has tested less than it says.
 */

import { readdirSync, readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { answers, type Expected, type Given, Refused } from "../driver/answers.js";

const SCHEMA_VERSION = 1;
// Deflate implementations differ: r is compared within this, and the budget by its share of it.
const R_TOLERANCE = 0.02;
const HEADER = words(
  "schema schemaVersion algorithm specification numberOfTests notes tests",
);
const CASE = words("tcId comment flags input result expected");

/** What the runner knows of one file: every field of an input, and every flag. */
interface Suite {
  readonly fields: readonly string[];
  readonly flags: readonly string[];
}

/** What a file of vectors holds, as far as it is looked at. */
export interface VectorFile {
  readonly schema: string;
  readonly schemaVersion: number;
  readonly numberOfTests: number;
  readonly notes: { readonly [flag: string]: unknown };
  readonly tests: readonly VectorCase[];
}

interface VectorCase {
  readonly tcId: number;
  readonly comment: string;
  readonly flags: readonly string[];
  readonly input: Given;
  readonly result: string;
  readonly expected: { readonly [name: string]: any };
}

/** What asks a whole server, and so is no SDK's to answer. */
export const OF_A_SERVER: readonly string[] = ["http_exchanges.json"];

const BODY = "body trailing_spaces";

const SUITES: { readonly [file: string]: Suite } = {
  "canonical.json": suite(
    "document",
    "Rfc8785Example Rfc8785AppendixB Rfc8259Example NumberText StringText NameOrder WhiteSpace " +
      "Structure",
  ),
  "json_refusals.json": suite(
    "layer document",
    "Rfc3629 Rfc8259 Rfc7493 Encoding Depth Grammar Trailing NumberLength NumberOverflow " +
      "Surrogate Duplicate Precedence Accepted",
  ),
  "ids.json": suite("merkle_root epoch shard_id", "FirstPrototype Epoch ShardId Root"),
  "digests.json": suite(BODY, "FirstPrototype SameContent SameRecord OtherContent"),
  "records_1_0.json": suite(
    BODY,
    "FirstPrototype Rfc3339 Rfc4648 Gregorian Sound Bound PastBound Type Missing Unknown " +
      "Format ClosedSet Spelling Version PcsId Size Json TwoFaults",
  ),
  "records_0_1.json": suite(
    `keyring tenant accepts_legacy ${BODY} received_at`,
    "FirstPrototype Rfc4231 Rfc8032 Spelling NoSpelling Escape NumberText Rounding Unsigned " +
      "Signed Check Spoiled ExactEdge Key Validity Version Sound Bound PastBound Type Missing " +
      "Format Json Size PcsId TwoFaults",
  ),
  "outcomes.json": suite(
    BODY,
    "BoxCounting Alone Together DHat Budget ExactEdge Consistency Regime Rounding Median",
  ),
  "signing_ed25519.json": suite(
    "seed public message signature",
    "Rfc8032 Sound Changed Length ScalarNotReduced NonCanonicalKey NonCanonicalR SmallOrderKey " +
      "SmallOrderR CofactorOnly MixedOrder NotOnCurve",
  ),
  "signing_hmac.json": suite("secret message tag", "Rfc4231 KeyLength Truncated Changed"),
  "keyrings.json": suite(
    "keyring",
    "Rfc8032 Sound Json Member Twice LegacyCount SecretLength WeakKey Pair Time",
  ),
  "signing_records.json": suite(
    `keyring ${BODY} received_at`,
    "Rfc8032 Rfc4231 Sound Key Missing Length Mismatch Unsigned Validity Order Version",
  ),
  "signals_points.json": suite(
    "seed scales rows rows_bits",
    "BoxCounting Series Plane Space Projected SeedAndScales Magnitude CellBorder Regime Refused",
  ),
  "signals_bytes.json": suite(
    "seed scales data",
    "BoxCounting Text Leaves Series SeedAndScales Refused",
  ),
  "merkle_roots.json": suite("leaves", "CertificateTransparency Sha256 Shape Leaf Order"),
  "merkle_inclusion.json": suite(
    "size index leaf_hash root proof",
    "CertificateTransparency Rfc9162Example EveryIndex Changed WrongPlace WrongCount WrongLength",
  ),
  "merkle_consistency.json": suite(
    "size1 size2 root1 root2 proof",
    "CertificateTransparency Rfc9162Example Grown Equal Empty Changed WrongPlace WrongCount " +
      "WrongLength",
  ),
  "ring.json": suite(
    "shards tenant pcs_id",
    "Karger DefaultSet Wrapped OnAPoint Tie Weighted ShardMore Tenant Refused",
  ),
};

/** What came of a folder of vectors. */
export interface Report {
  readonly files: number;
  readonly cases: number;
  readonly failures: readonly string[];
}

/** Runs every file of a folder, printing a line for each and one for all. */
export async function runFolder(folder: URL, print: (line: string) => void): Promise<Report> {
  const failures: string[] = [];
  let [files, cases] = [0, 0];
  for (const name of readdirSync(folder).filter((each) => each.endsWith(".json")).sort()) {
    if (OF_A_SERVER.includes(name)) {
      print(`${name}: not run, its cases are what a server is asked`);
      continue;
    }
    const document = JSON.parse(readFileSync(new URL(name, folder), "utf8")) as VectorFile;
    const found = await failuresOf(name, document);
    failures.push(...found);
    files += 1;
    cases += document.tests.length;
    print(`${name}: ${document.tests.length} cases, ${found.length} failed`);
  }
  const known = Object.keys(SUITES).length;
  if (files !== known) failures.push(`expected ${known} files, got ${files}`);
  const count = cases.toLocaleString("en-GB");
  print(`typescript: ${files} files, ${count} cases, ${failures.length} failed`);
  return { files, cases, failures };
}

/** Returns what is wrong with a file or with the SDK, a line for each; none if all is well. */
export async function failuresOf(name: string, document: VectorFile): Promise<string[]> {
  const known = Object.hasOwn(SUITES, name) ? SUITES[name] : undefined;
  if (known === undefined) return [`${name}: a file this runner does not know`];
  const found = headerFailures(name, known, document);
  for (const [index, each] of document.tests.entries()) {
    const wrong = await caseFailures(name, known, index + 1, each);
    found.push(...wrong.map((line) => `case ${index + 1}: ${line}`));
  }
  return found.map((line) => `${name}: ${line}`);
}

function headerFailures(name: string, known: Suite, document: VectorFile): string[] {
  const found = differing(Object.keys(document), HEADER).map((field) => `field ${field}`);
  const { schema, schemaVersion, numberOfTests, tests, notes } = document;
  if (schemaVersion !== SCHEMA_VERSION) found.push(`schemaVersion ${schemaVersion}`);
  if (schema !== `schemas/${name.replace(".json", ".schema.json")}`) found.push(`schema ${schema}`);
  if (numberOfTests !== tests.length) found.push(`${tests.length} tests, not ${numberOfTests}`);
  const used = [...new Set(tests.flatMap((each) => each.flags))];
  const noted = Object.keys(notes);
  for (const flag of noted.filter((each) => !known.flags.includes(each))) {
    found.push(`flag ${flag} is not known here`);
  }
  const uneven = differing(noted, used).map((flag) => `flag ${flag} is not both used and explained`);
  return [...found, ...uneven];
}

async function caseFailures(
  name: string,
  known: Suite,
  place: number,
  given: VectorCase,
): Promise<string[]> {
  const found = [
    ...differing(Object.keys(given), CASE).map((field) => `field ${field}`),
    ...differing(Object.keys(given.input), known.fields).map((field) => `input field ${field}`),
  ];
  if (found.length > 0) return found;
  if (given.tcId !== place) found.push(`tcId ${given.tcId}`);
  const [result, expected] = await answerOf(name, given.input);
  if (result !== given.result || !agrees(expected, given.expected)) {
    const wanted = `${given.result} ${JSON.stringify(given.expected)}`;
    const got = `${result} ${JSON.stringify(expected)}`;
    found.push(`${given.comment}: expected ${wanted}, got ${got}`);
  }
  return found;
}

async function answerOf(name: string, input: Given): Promise<[string, Expected]> {
  try {
    return ["valid", (await answers[name]?.(input)) ?? {}];
  } catch (error) {
    if (error instanceof Refused) return ["invalid", error.expected];
    return ["crashed", { error: String(error) }];
  }
}

/** Returns whether an answer is the expected one: exactly, but for what deflate decides. */
function agrees(given: Expected, expected: VectorCase["expected"]): boolean {
  const plain = JSON.parse(JSON.stringify(given)) as VectorCase["expected"];
  if (isDeepStrictEqual(plain, expected)) return true;
  if (!("r" in plain && "r" in expected)) return false;
  const { r, budget, ...others } = plain;
  const { r: wantedR, budget: wantedBudget, ...wantedOthers } = expected;
  const isNear = (a: any, b: any): boolean =>
    differing(Object.keys(a), Object.keys(b)).length === 0 &&
    Math.abs(Number(a.text) - Number(b.text)) <= R_TOLERANCE;
  return isNear(r, wantedR) && isNear(budget, wantedBudget) && isDeepStrictEqual(others, wantedOthers);
}

function suite(fields: string, flags: string): Suite {
  return { fields: words(fields), flags: words(flags) };
}

function words(text: string): readonly string[] {
  return text.split(" ");
}

function differing(some: readonly string[], others: readonly string[]): string[] {
  return [
    ...some.filter((each) => !others.includes(each)),
    ...others.filter((each) => !some.includes(each)),
  ].sort();
}
