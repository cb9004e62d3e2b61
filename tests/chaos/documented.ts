/** How connections and handshakes may end at all: as the tables of docs/protocol.md say. */

/** How connections may end at all, as docs/protocol.md says. */
export interface Documented {
  /** A pattern of the reason, by code. */
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
  const closes = new Map(
    Array.from(
      reasons,
      ([code, patterns]) => [code, new RegExp(`^(${patterns.join("|")})$`)],
    ),
  );
  const statuses = new Set(
    Array.from(
      protocol.matchAll(/^\| (\d{3}) +\|/gm),
      ([, status]) => Number(status),
    ),
  );
  const frontend = /own (\d{3}) or (\d{3})/.exec(protocol);
  if (closes.size === 0 || statuses.size === 0 || !frontend) {
    throw new Error(
      "Expected the tables of closes and statuses in docs/protocol.md",
    );
  }
  // No close frame came, and so no reason.
  closes.set(1006, /^$/);
  for (const status of frontend.slice(1)) statuses.add(Number(status));
  return { closes, statuses };
}
