/** One object of a keyring, read member by member; what was not read is refused at the end. */

import { ContractError, KeyringError } from "./errors.js";
import { member, type Members } from "./structure.js";
import { parseTimestamp } from "./timestamps.js";

export class Entry {
  /** The key's name, once it is known: a refusal shows it. */
  kid: string | null = null;
  private readonly members: Members;
  private readonly read = new Set<string>();

  /** @throws KeyringError `value` is no object. */
  constructor(
    value: unknown,
    private readonly where: string,
  ) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new KeyringError(`${where}: expected an object, got another value`, where);
    }
    this.members = value as Members;
  }

  /** Throws the refusal of one member. */
  refuse(name: string, expected: string, got: string): never {
    return this.refuseAs(name, `expected ${expected}, got ${got}`);
  }

  /** Throws the refusal of one member for a reason in the words of another error. */
  refuseAs(name: string, message: string): never {
    throw new KeyringError(`${this.shown()} ${name}: ${message}`, this.where, name);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.members, name);
  }

  text(name: string): string {
    const value = this.value(name);
    if (typeof value !== "string") this.refuse(name, "a string", what(value));
    return value;
  }

  match(name: string, pattern: RegExp): string {
    const text = this.text(name);
    if (!pattern.test(text)) {
      this.refuse(name, `a match of ${pattern.source.slice(1, -1)}`, "another text");
    }
    return text;
  }

  oneOf<T extends string>(name: string, choices: readonly T[]): T {
    const text = this.text(name);
    const found = choices.find((choice) => choice === text);
    return found ?? this.refuse(name, choices.join(" or "), "another text");
  }

  array(name: string): readonly unknown[] {
    const value = this.value(name);
    if (!Array.isArray(value)) this.refuse(name, "an array", what(value));
    return value;
  }

  /** Returns false where it is absent. */
  boolean(name: string): boolean {
    const value = this.value(name);
    if (value === undefined) return false;
    if (typeof value !== "boolean") this.refuse(name, "true or false", "another type");
    return value;
  }

  /** Returns milliseconds since 1970, `null` where it is absent or null. */
  timestamp(name: string): number | null {
    const value = this.value(name);
    if (value === undefined || value === null) return null;
    const text = this.text(name);
    try {
      return parseTimestamp(text);
    } catch (error) {
      if (!(error instanceof ContractError)) throw error;
      return this.refuse(name, "YYYY-MM-DDTHH:MM:SS.mmmZ or null", "another text");
    }
  }

  /** Refuses members that nobody read. Their names are not shown: one may be a misplaced secret. */
  finish(): void {
    const unknown = Object.keys(this.members).filter((name) => !this.read.has(name)).length;
    if (unknown > 0) {
      const message = `${this.shown()}: expected known members, got ${unknown} unknown`;
      throw new KeyringError(message, this.where);
    }
  }

  private shown(): string {
    return this.kid === null ? this.where : `${this.where} kid "${this.kid}"`;
  }

  private value(name: string): unknown {
    this.read.add(name);
    return member(this.members, name);
  }
}

function what(value: unknown): string {
  return value === undefined ? "nothing" : "another type";
}
