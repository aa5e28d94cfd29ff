/**
 * Answers: what a server said, as a value. No effects: headers and bytes in, values out.
 *
 * The rule kept here is which answers are final: a final answer will not change however often the
 * same bytes are sent, so it is the only thing that may end a retry.
 */

/** One answer to one record. */
export class Answer {
  /** The HTTP status. */
  readonly status: number;
  /** The body as received. */
  readonly body: Uint8Array;
  /** The server had decided this content before and repeats its first answer. */
  readonly replayed: boolean;
  /** When the server received the record, as it wrote it; `null` where it did not say. */
  readonly receivedAt: string | null;
  /** How long the server asks to be left alone, in seconds; `null` where it did not say. */
  readonly retryAfterS: number | null;
  /** The stable `code` of a problem document; `null` for any other body. */
  readonly code: string | null;
  /** How many requests it took, 1 or more. */
  readonly attempts: number;

  constructor(members: AnswerMembers) {
    this.status = members.status;
    this.body = members.body;
    this.replayed = members.replayed ?? false;
    this.receivedAt = members.receivedAt ?? null;
    this.retryAfterS = members.retryAfterS ?? null;
    this.code = members.code ?? (members.status >= PROBLEM_STATUS_MIN ? problemCode(members.body) : null);
    this.attempts = members.attempts ?? 1;
  }

  /** Whether sending the same bytes again can only give this answer again. */
  get isFinal(): boolean {
    return isFinal(this.status);
  }

  /** Return the body as text. */
  text(): string {
    return new TextDecoder().decode(this.body);
  }

  /** Return the body read as JSON; it throws a `SyntaxError` where it is none. */
  json(): unknown {
    return JSON.parse(this.text());
  }
}

/** What an answer is made of; what is left out has its default. */
export interface AnswerMembers {
  readonly status: number;
  readonly body: Uint8Array;
  readonly replayed?: boolean;
  readonly receivedAt?: string | null;
  readonly retryAfterS?: number | null;
  readonly code?: string | null;
  readonly attempts?: number;
}

const PROBLEM_STATUS_MIN = 400;
const REQUEST_TIMEOUT = 408;
const TOO_MANY_REQUESTS = 429;
/** RFC 9110 section 10.2.3 gives no bound; ten digits hold three centuries. */
const DELAY_SECONDS = /^[0-9]{1,10}$/;
const CODE = /^[a-z][a-z0-9_]{0,63}$/;

/**
 * Tell whether a status ends the sending of a record: 2xx and every 4xx but 408 and 429.
 *
 * A redirect does not: following it would carry a record to a host nobody configured.
 */
export function isFinal(status: number): boolean {
  if (status === REQUEST_TIMEOUT || status === TOO_MANY_REQUESTS) return false;
  const kind = Math.trunc(status / 100);
  return kind === 2 || kind === 4;
}

/** Tell whether a final status accepts a record, escalated or not. */
export function isAccepted(status: number): boolean {
  return Math.trunc(status / 100) === 2;
}

/**
 * Return the `code` of a problem document, `null` where the body is something else.
 *
 * A code is a word: it is printed and logged, and a stranger's text in its place may quote a record or
 * the token.
 */
export function problemCode(body: Uint8Array): string | null {
  const code = objectOf(body)?.["code"];
  return typeof code === "string" && CODE.test(code) ? code : null;
}

/** Return the JSON object that a body is, `null` where it is none: a byte order mark is no JSON. */
function objectOf(body: Uint8Array): Readonly<Record<string, unknown>> | null {
  try {
    const read: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body));
    const isObject = typeof read === "object" && read !== null && !Array.isArray(read);
    return isObject ? (read as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/**
 * Tell whether a final answer may be taken as one about the record with this id.
 *
 * A success must carry the decision with the record's id; a refusal that decision or a problem
 * document with a `code`, which names no other record. Anything else comes from something in between
 * or from another address; so does a 404 or 405, which speaks of the address.
 */
export function isAbout(answer: Answer, pcsId: string): boolean {
  if (answer.status === 404 || answer.status === 405) return false;
  const members = objectOf(answer.body);
  if (members === null) return false;
  const named = members["pcs_id"] ?? null;
  const isProblem = Math.trunc(answer.status / 100) === 4 && answer.code !== null;
  return named === pcsId || (isProblem && named === null);
}

/**
 * Return the seconds that a `Retry-After` header asks to wait; `null` where it is absent or unreadable.
 *
 * @param value The header, as delay seconds or as an HTTP date.
 * @param date The same answer's `Date`: a date is measured from it, so that two clocks which disagree
 *   do not turn a second into an hour.
 * @param nowMs Milliseconds since 1970, used where `Date` is absent or unreadable.
 *
 * Source: RFC 9110 section 10.2.3.
 */
export function parseRetryAfter(value: string | null, date: string | null, nowMs: number): number | null {
  const text = value?.trim() ?? "";
  if (DELAY_SECONDS.test(text)) return Number(text);
  const untilMs = httpDateMs(text);
  if (untilMs === null) return null;
  const sentMs = date === null ? null : httpDateMs(date.trim());
  return Math.max(0, (untilMs - (sentMs ?? nowMs)) / 1000);
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const TIME = "(?<hour>\\d{2}):(?<minute>\\d{2}):(?<second>\\d{2})";
const HTTP_DATES = [
  new RegExp(`^\\w{3}, (?<day>\\d{2}) (?<month>\\w{3}) (?<year>\\d{4}) ${TIME} GMT$`),
  new RegExp(`^\\w{6,9}, (?<day>\\d{2})-(?<month>\\w{3})-(?<year>\\d{2}) ${TIME} GMT$`),
  new RegExp(`^\\w{3} (?<month>\\w{3}) (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})$`),
];
/** Two digits of a year: those before 1969 are of this century. */
const CENTURY_PIVOT = 69;

/** Return the milliseconds since 1970 of an HTTP date (all three forms of RFC 9110), or `null`. */
function httpDateMs(text: string): number | null {
  for (const form of HTTP_DATES) {
    const parts = form.exec(text)?.groups;
    if (parts === undefined) continue;
    const month = MONTHS.indexOf(parts["month"] ?? "");
    const digits = parts["year"] ?? "";
    let year = Number(digits);
    if (digits.length === 2) year += year < CENTURY_PIVOT ? 2000 : 1900;
    const [day, hour, minute, second] = ["day", "hour", "minute", "second"].map((part) => Number(parts[part]));
    const ms = Date.UTC(year, month, day, hour, minute, second);
    // A month that is none, or the 31st of one that has 30 days, is no date.
    const isDate = month >= 0 && new Date(ms).getUTCDate() === day && new Date(ms).getUTCMonth() === month;
    return isDate ? ms : null;
  }
  return null;
}
