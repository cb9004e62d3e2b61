/** `staps check`: what is wrong with the configuration and its surroundings, all of it. */
import { painter, writeAll } from "../../common/terminal.ts";
import {
  configOption,
  type Context,
  nonEmpty,
  type Subcommand,
} from "../subcommand.ts";
import { instanceArgument } from "../instance.ts";
import type { Finding } from "./finding.ts";

/** The exit statuses of `staps check`; those of the table in docs/commands.md. */
export const checkStatus = {
  /** Nothing failed; there may be warnings. */
  ok: 0,
  /** Something else than the configuration failed. */
  failed: 1,
  /** The server wouldn't start with this configuration (EX_CONFIG, sysexits.h). */
  configuration: 78,
} as const;

/** What `staps check` is told on the command line. */
export interface CheckOptions {
  /** One of several nodes on this machine, such as `staps@1`. */
  readonly instance?: string | undefined;
  readonly config?: string;
  readonly json?: boolean;
  /** The user that staps runs as, unless the configuration or the system says so. */
  readonly user?: string;
  /** The frontend's user, unless it is nginx's. */
  readonly frontend?: string;
  /** The URL of the frontend, to join a channel through it. */
  readonly through?: string;
  /** A PEM file with the authorities to trust there, instead of the system's. */
  readonly ca?: string;
}

/** `staps check`; ends with one of {@linkcode checkStatus}. */
export const check: Subcommand<CheckOptions> = {
  name: "check",
  summary: "look for what is wrong with the configuration and around it",
  description:
    "Reads the configuration as the server would, and looks at what it needs: folders\n" +
    "and rights, the limit of open files, the broker, the frontend's access to the\n" +
    "socket. Reports every problem, not only the first. An instance of the unit\n" +
    "staps@.service, such as staps@1, has settings and sockets of its own.\n\n" +
    "Ends with 0 if nothing failed, 78 if the server wouldn't start with this\n" +
    "configuration, and 1 if something else failed.",
  declare(command): void {
    command
      .argument(...instanceArgument)
      .option(...configOption)
      .option("-j, --json", "print JSON")
      .option(
        "-u, --user <user>",
        "check what this user may do, as whom staps runs",
        nonEmpty,
      )
      .option(
        "-f, --frontend <user>",
        "check whether this user can connect, instead of nginx's",
        nonEmpty,
      )
      .option(
        "-t, --through <url>",
        "join a fresh channel through the frontend at this URL, without a path",
        nonEmpty,
      )
      .option(
        "--ca <file>",
        "trust the authorities in this PEM file there, instead of the system's",
        nonEmpty,
      );
  },
  async run(options, context): Promise<number> {
    // Only who checks pays for loading the broker's client.
    const { findAll } = await import("./checks.ts");
    const findings = await findAll(options, context.environment);
    const failed = findings.filter(({ level }) => level === "fail");
    await writeAll(
      context.stdout,
      options.json
        ? `${JSON.stringify({ ok: failed.length === 0, findings })}\n`
        : render(findings, context),
    );
    return failed.length === 0
      ? checkStatus.ok
      : failed.some(({ check }) => check === "configuration")
      ? checkStatus.configuration
      : checkStatus.failed;
  },
};

/** Gets what people see of `findings`. */
export function render(
  findings: readonly Finding[],
  { stdout, environment }: Pick<Context, "stdout" | "environment">,
): string {
  const paint = painter(stdout, environment.NO_COLOR);
  const meanings = { ok: "good", warn: "doubtful", fail: "bad" } as const;
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines = findings.flatMap(({ check, level, message, hint }) => {
    const mark = paint(meanings[level], level.padEnd(4));
    const indent = " ".repeat(4 + 2 + width + 2);
    return [
      `${mark}  ${check.padEnd(width)}  ${message}`,
      ...hint === undefined ? [] : [`${indent}${paint("quiet", hint)}`],
    ];
  });
  const count = (level: Finding["level"]): number =>
    findings.filter((finding) => finding.level === level).length;
  const [fails, warns] = [count("fail"), count("warn")];
  const end = fails + warns === 0
    ? "All is well"
    : `${fails} failed, ${warns} to look at`;
  return [...lines, "", end, ""].join("\n");
}
