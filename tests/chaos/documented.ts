/** How connections and handshakes may end at all, as the tables of docs/protocol.md say. */
import { repository } from "../../tools/process.ts";

/** The text of docs/protocol.md. */
export const protocol = await Deno.readTextFile(
  `${repository}/docs/protocol.md`,
);

/** The reasons that closes may have, by code, and the statuses of handshakes. */
export interface Documented {
  readonly closes: ReadonlyMap<number, RegExp>;
  readonly statuses: ReadonlySet<number>;
}

/**
 * Reads the tables of docs/protocol.md.
 *
 * @throws {Error} If they aren't there.
 */
export function readDocumented(protocol: string): Documented {
  const reasons = new Map<number, string[]>();
  const rows = protocol.matchAll(
    /^\| (\d{4}) +\| `([^`]+)` +\| `\w+` +\|([^|]*)\|/gm,
  );
  for (const [, code, reason, when] of rows) {
    const retry = when!.includes("retry=") ? ", retry=\\d+" : "";
    const pattern = when!.includes("the reason names it instead")
      ? ".+"
      : RegExp.escape(reason!) + retry;
    const others = reasons.get(Number(code)) ?? [];
    reasons.set(Number(code), [...others, pattern]);
  }
  const statuses = protocol.matchAll(/^\| (\d{3}) +\|/gm);
  const frontend = /own (\d{3}) or (\d{3})/.exec(protocol);
  if (reasons.size === 0 || !frontend) {
    throw new Error(
      "Expected the tables of closes and statuses in docs/protocol.md",
    );
  }
  // No close frame came, and so no reason.
  reasons.set(1006, [""]);
  return {
    closes: new Map(
      Array.from(
        reasons,
        ([code, patterns]) => [code, new RegExp(`^(${patterns.join("|")})$`)],
      ),
    ),
    statuses: new Set(
      [...statuses, frontend].flatMap(([, ...found]) => found.map(Number)),
    ),
  };
}
