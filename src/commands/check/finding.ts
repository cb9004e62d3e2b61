/** What `staps check` finds. */

/** `warn` works, but not as it should. */
export type Level = "ok" | "warn" | "fail";

/** One thing that was looked at. */
export interface Finding {
  /** What was looked at: one word, for programs too. */
  readonly check:
    | "configuration"
    | "user"
    | "socket"
    | "admin"
    | "daemon"
    | "descriptors"
    | "broker"
    | "frontend";
  readonly level: Level;
  /** What was found: one line without secrets. */
  readonly message: string;
  /** What to do about it, one line. */
  readonly hint?: string | undefined;
}

/** Makes findings of one check. */
export class Findings {
  readonly all: Finding[] = [];
  readonly #check: Finding["check"];

  constructor(check: Finding["check"]) {
    this.#check = check;
  }

  ok(message: string, hint?: string): void {
    this.#add("ok", message, hint);
  }

  warn(message: string, hint?: string): void {
    this.#add("warn", message, hint);
  }

  fail(message: string, hint?: string): void {
    this.#add("fail", message, hint);
  }

  #add(level: Level, message: string, hint: string | undefined): void {
    this.all.push({
      check: this.#check,
      level,
      message,
      ...hint === undefined ? {} : { hint },
    });
  }
}
