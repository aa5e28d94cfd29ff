/** Where the tests find what is not the SDK's own. */

/** This package's folder. */
export const PACKAGE = new URL("../../", import.meta.url);

/** The golden vectors of the project. */
export const GOLDEN = new URL("../../golden_vectors/", PACKAGE);

/** The official vectors, beside the project; they may be absent. */
export const OFFICIAL = new URL("../../../shared/vectors/", PACKAGE);

/** Returns why a test is skipped, false where it is not: `FLBA_REQUIRE=all` forbids to skip. */
export function skippedUnless(isThere: boolean, reason: string): string | false {
  return isThere || process.env["FLBA_REQUIRE"] === "all" ? false : reason;
}
