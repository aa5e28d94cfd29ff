/** What the driver's operations are: a request in, an answer out (`sdk/driver.md`). */

/** A request, as it was read. */
export type Request = { readonly [name: string]: unknown };

/** One operation; what it throws is answered as a crash. */
export type Op = (request: Request) => Promise<object> | object;

/** Operations by their names. */
export type Ops = { readonly [name: string]: Op };
