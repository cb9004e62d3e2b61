/**
 * The errors that end the program, each with its exit status.
 *
 * `main.ts` exits with it; everything else throws one of these. The statuses are
 * those of sysexits.h where one fits, so that a service manager can tell what
 * a restart may heal from what it can't.
 */

/** An error meant for the administrator: printed without a stack trace. */
export abstract class AdminError extends Error {
  /** The process's exit status. */
  abstract readonly exitCode: number;
  /** What to try, printed on a line of its own. */
  readonly hint: string | undefined;

  constructor(message: string, options: ErrorOptions & { hint?: string } = {}) {
    super(message, options);
    this.name = new.target.name;
    this.hint = options.hint;
  }
}

/**
 * A command line that can't be understood. Exit status 2. What it quotes of it
 * is without the paths and passwords of URLs, which are secrets.
 */
export class UsageError extends AdminError {
  readonly exitCode = 2;

  constructor(message: string, options?: ErrorOptions & { hint?: string }) {
    super(withoutSecrets(message), options);
  }
}

function withoutSecrets(text: string): string {
  return text.replace(/:\/\/[^\s"/@]*@/g, "://...@")
    .replace(/(:\/\/[^\s"/]*\/)[^\s"]+/g, "$1...");
}

/** A configuration that can't work, however often it is tried. Exit status 78 (EX_CONFIG, sysexits.h). */
export class ConfigError extends AdminError {
  readonly exitCode = 78;
}

/** A start-up that failed for a reason outside the configuration, or a server that can't go on. Exit status 1. */
export class StartupError extends AdminError {
  readonly exitCode = 1;
}

/**
 * Gets what a log may tell of a bug: its class and where it comes from, but
 * not its message, which may quote a channel's path.
 */
export function bugFields(
  bug: unknown,
): { readonly error: string; readonly frames: string | undefined } {
  const { name, stack } = bug instanceof Error ? bug : new Error();
  const frames = stack?.split("\n").map((line) => line.trim())
    .filter((line) => line.startsWith("at ")).join(" ");
  return { error: name, frames };
}
