/** `staps url`: prints a channel that nobody else knows. */
import { UsageError } from "../common/errors.ts";
import { writeAll } from "../common/terminal.ts";
import type { Subcommand } from "./subcommand.ts";

/** `staps url` */
export const url: Subcommand<{ readonly base: string }> = {
  name: "url",
  summary: "print the URL of a fresh channel",
  description:
    "Prints the URL of a channel that nobody else knows: BASE with a random\n" +
    "UUID4 after it. Whoever has the URL may read and write.",
  declare(command): void {
    command.argument(
      "[base]",
      "where staps is reached, such as wss://example.org/ or example.org",
      "ws://localhost/",
    );
  },
  async run({ base }, { stdout }): Promise<number> {
    await writeAll(stdout, `${freshUrl(base)}\n`);
    return 0;
  },
};

/** WebSocket schemes by what people paste. */
const schemes: Readonly<Record<string, string>> = {
  "ws:": "ws:",
  "wss:": "wss:",
  "http:": "ws:",
  "https:": "wss:",
};

/**
 * Gets the URL of a fresh channel: `base` with a random UUID4 (RFC 9562
 * section 5.4) after its path. A `base` without a scheme gets `wss://`, and
 * `http` becomes the WebSocket scheme that belongs to it.
 *
 * @throws {UsageError} If `base` is no URL that a path can follow.
 */
export function freshUrl(base: string): string {
  const url = URL.parse(
    /^[a-z][a-z0-9+.-]*:\/\//i.test(base) ? base : `wss://${base}`,
  );
  const scheme = url && schemes[url.protocol];
  if (!url || !scheme || `${url.search}${url.hash}${url.username}` !== "") {
    throw new UsageError(
      `Cannot use the base "${base}": expected something like "wss://example.org/" or "example.org"`,
    );
  }
  const folder = url.pathname.replace(/\/*$/, "/");
  return `${scheme}//${url.host}${folder}${crypto.randomUUID()}`;
}
