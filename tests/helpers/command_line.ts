/** Command lines, and what they mean. */
import assert from "node:assert/strict";
import { parseCommandLine } from "../../src/commands/cli.ts";
import type { Context, Output } from "../../src/commands/subcommand.ts";
import { UsageError } from "../../src/common/errors.ts";

/** Gets the name of the subcommand that `args` mean, and its options. */
export function parse(...args: string[]): { name: string; options: object } {
  const command = parseCommandLine(args);
  assert.ok("subcommand" in command, "it is only a text");
  return { name: command.subcommand.name, options: command.options };
}

/** Gets the text that `args` ask for. */
export function textOf(...args: string[]): string {
  const command = parseCommandLine(args);
  assert.ok("text" in command, "it is a subcommand");
  return command.text;
}

/** Gets the usage error that `args` cause. */
export function refusal(...args: string[]): UsageError {
  try {
    parseCommandLine(args);
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    assert.equal(error.exitCode, 2);
    assert.doesNotMatch(error.message, /\.$|^error/);
    return error;
  }
  throw new assert.AssertionError({ message: `${args} was accepted` });
}

/** A context for subcommands in the test's own process, which keeps what they print. */
export interface TestContext extends Context {
  /** What they have printed on standard output. */
  printed: string;
  /** What they have printed on standard error. */
  errors: string;
}

/** Gets a context in which nothing comes in and nobody interrupts, but for `parts`. */
export function commandContext(parts: Partial<Context> = {}): TestContext {
  const stream = (add: (text: string) => void): Output => ({
    write(bytes): Promise<number> {
      add(new TextDecoder().decode(bytes));
      return Promise.resolve(bytes.length);
    },
    isTerminal: () => false,
  });
  const context: TestContext = {
    printed: "",
    errors: "",
    stdin: {
      readable: ReadableStream.from<Uint8Array>([]),
      isTerminal: () => false,
    },
    stdout: stream((text) => context.printed += text),
    stderr: stream((text) => context.errors += text),
    environment: {},
    interruption: () => new AbortController().signal,
    serve: () => Promise.reject(new Error("It serves")),
    ...parts,
  };
  return context;
}
