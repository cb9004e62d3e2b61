/** A subcommand: its part of the command line beside what it does, in one file or folder. */
import type { Command } from "commander";
import { UsageError } from "../common/errors.ts";
import type { Environment } from "../settings/table.ts";
import type { ServeOptions } from "./serve.ts";

/** A stream to print to, such as `Deno.stdout`. */
export interface Output {
  write(bytes: Uint8Array): Promise<number>;
  isTerminal(): boolean;
}

/** What subcommands work with. */
export interface Context {
  readonly stdin: {
    readonly readable: ReadableStream<Uint8Array>;
    isTerminal(): boolean;
  };
  readonly stdout: Output;
  readonly stderr: Output;
  readonly environment: Environment;
  /** Gets what SIGINT or SIGTERM aborts from now on; the reason is the exit status. */
  interruption(): AbortSignal;
  /** Runs a node until SIGTERM or SIGINT. */
  serve(options: ServeOptions): Promise<void>;
}

/** A subcommand. */
export interface Subcommand<Options = object> {
  readonly name: string;
  /** Its line in the list of all, for completions too. */
  readonly summary: string;
  readonly description: string;
  /** Declares its options and its argument. */
  declare(command: Command): void;
  /**
   * Does it, and gets the exit status.
   *
   * @param options What the command line says, by the names of options and argument.
   */
  run(options: Options, context: Context): Promise<number>;
}

/** The option that several subcommands have: the arguments of commander's `option()`. */
export const configOption = [
  "-c, --config <file>",
  "read this configuration file only",
  nonEmpty,
] as const;

/** Takes an option's value that may be anything but empty. @throws {UsageError} If it is. */
export function nonEmpty(text: string): string {
  if (text === "") {
    throw new UsageError("Cannot use an empty option: expected a file's name");
  }
  return text;
}
