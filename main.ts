/** staps: temporary publish/subscribe channels over WebSocket. The command line, errors and the exit status. */
import { parseCommandLine } from "./src/commands/cli.ts";
import { AdminError } from "./src/common/errors.ts";
import { log } from "./src/common/log.ts";
import { writeAll } from "./src/common/terminal.ts";
import { interruption, outliveSignals } from "./src/system/signals.ts";

/** Runs what `args` mean, and gets the exit status. */
async function main(args: string[]): Promise<number> {
  const command = parseCommandLine(args);
  if ("text" in command) {
    await writeAll(Deno.stdout, command.text);
    return 0;
  }
  return await command.subcommand.run(command.options, {
    stdin: Deno.stdin,
    stdout: Deno.stdout,
    stderr: Deno.stderr,
    environment: Deno.env.toObject(),
    interruption,
    async serve(options): Promise<void> {
      // Before the rest is loaded, which takes a while.
      outliveSignals();
      // Only a node pays for loading it.
      const { serve } = await import("./src/node.ts");
      await serve(options);
    },
  });
}

/** Writes an error as the administrator gets to see it, and gets the exit status. */
async function report(error: AdminError): Promise<number> {
  const { message, hint, exitCode } = error;
  const lines = message.split("\n").map((line) => `staps: error: ${line}\n`);
  for (const line of hint?.split("\n") ?? []) {
    lines.push(`staps: hint: ${line}\n`);
  }
  await writeAll(Deno.stderr, lines.join(""));
  return exitCode;
}

if (import.meta.main) {
  let status;
  try {
    status = await main(Deno.args);
  } catch (error) {
    await log.flush();
    if (!(error instanceof AdminError)) throw error;
    status = await report(error);
  }
  await log.flush();
  Deno.exit(status);
}
