/** staps: temporary publish/subscribe channels over WebSocket. The command line, errors and the exit status. */
import { parseCommandLine } from "./src/commands/cli.ts";
import { completion } from "./src/commands/completion.ts";
import { join } from "./src/commands/join/join.ts";
import { status } from "./src/commands/status.ts";
import { freshUrl } from "./src/commands/url.ts";
import { AdminError } from "./src/common/errors.ts";
import { log } from "./src/common/log.ts";
import { writeAll } from "./src/common/terminal.ts";
import { build, version } from "./src/common/version.ts";
import { serve } from "./src/node.ts";
import { interruption } from "./src/system/signals.ts";

/** Runs the command that `args` mean, and gets the exit status. */
async function main(args: string[]): Promise<number> {
  const command = parseCommandLine(args);
  switch (command.kind) {
    case "help":
      await writeAll(Deno.stdout, command.text);
      return 0;
    case "version":
      await writeAll(Deno.stdout, `staps ${version} (${build()})\n`);
      return 0;
    case "url":
      await writeAll(Deno.stdout, `${freshUrl(command.base)}\n`);
      return 0;
    case "check": {
      // Only who checks pays for loading the broker's client.
      const { check } = await import("./src/commands/check/check.ts");
      return await check(command, {
        stdout: Deno.stdout,
        environment: Deno.env.toObject(),
      });
    }
    case "status":
      return await status(command, {
        stdout: Deno.stdout,
        environment: Deno.env.toObject(),
        interrupted: interruption(),
      });
    case "completion":
      await writeAll(Deno.stdout, completion(command.shell));
      return 0;
    case "join":
      return await join(command, {
        stdin: Deno.stdin,
        stdout: Deno.stdout,
        stderr: Deno.stderr,
        environment: Deno.env.toObject(),
        interrupted: interruption(),
      });
    case "serve":
      await serve(command);
      return 0;
  }
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
