/** What `staps status` shows of a node: a table for people. */
import type { Status } from "../../admin/status.ts";
import { harmless, type Paint } from "../../common/terminal.ts";

/** What changes per second. */
export interface Rates {
  readonly received: number;
  readonly delivered: number;
  readonly connects: number;
  /** In cores. */
  readonly cpu: number;
}

/** Gets the table of one answer. Its texts are whoever's answered: none of them steers the terminal. */
export function table(
  now: Status,
  { paint, rates }: { paint: Paint; rates?: Rates | undefined },
): string {
  const per = (rate: number | undefined): string =>
    rate === undefined ? "" : ` (${count(rate)}/s)`;
  const reasons = now.reasons.map(({ reason, message }) =>
    `${paint("bad", harmless(reason))}: ${harmless(message)}`
  );
  const nonZero = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts).filter(([, value]) => value > 0)
      .map(([name, value]) => `${count(value)} ${harmless(name)}`).join(", ") ||
    "none";
  const rows: [string, string][] = [
    [
      "ready",
      now.ready
        ? paint("good", "yes")
        : `${paint("bad", "no")}, ${reasons.join("; ")}`,
    ],
    ["clients", `${count(now.clients)} of ${count(now.clients_limit)}`],
    ["channels", `${count(now.channels)} of ${count(now.channels_limit)}`],
    ["connects", `${count(now.connects)}${per(rates?.connects)}`],
    [
      "received",
      `${count(now.messages_received)} messages${per(rates?.received)}, ${
        bytes(now.received_bytes)
      }`,
    ],
    [
      "delivered",
      `${count(now.deliveries)} messages${per(rates?.delivered)}, ${
        bytes(now.delivered_bytes)
      }`,
    ],
    ["waiting", `${bytes(now.buffered_bytes)} for clients to read`],
    ["closed", nonZero(now.closes)],
    ["limits hit", nonZero(now.limit_hits)],
    ...bridgeRows(now, paint),
    [
      "process",
      `${bytes(now.memory_bytes)} of memory, ${
        rates === undefined
          ? `${count(now.cpu_s)} s of processor time`
          : `${Math.round(rates.cpu * 100)} % of a core`
      }, event loop up to ${now.event_loop_lag_ms} ms late`,
    ],
  ];
  const heading = `staps ${harmless(now.version)}, process ${now.pid}, up ${
    duration(now.uptime_s)
  }`;
  return [
    paint("strong", heading),
    ...rows.map(([name, value]) => `${name.padEnd(10)}  ${value}`),
    "",
  ].join("\n");
}

function bridgeRows(
  { bridge }: Status,
  paint: Paint,
): [string, string][] {
  if (bridge === null) return [["bridge", "none, this node works alone"]];
  const state = bridge.connected
    ? `${paint("good", "connected")} to ${
      harmless(bridge.broker ?? "a broker")
    }, ${
      bridge.round_trip_ms === null
        ? paint("bad", "no message comes back")
        : `round trip ${bridge.round_trip_ms} ms`
    }`
    : paint("bad", "not connected");
  return [
    ["bridge", state],
    [
      "outbox",
      `${count(bridge.outbox_messages)} messages, ${
        bytes(bridge.outbox_bytes)
      }`,
    ],
    [
      "bridged",
      `${count(bridge.messages_sent)} messages sent, ${
        count(bridge.messages_received)
      } received, ${count(bridge.gaps)} gaps`,
    ],
  ];
}

/** `1,234`, and `0.5` below ten. */
export function count(value: number): string {
  return new Intl.NumberFormat("en", {
    maximumFractionDigits: value < 10 ? 1 : 0,
  }).format(value);
}

/** `1.5 MiB` */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  const text = new Intl.NumberFormat("en", { maximumFractionDigits: digits })
    .format(value);
  return `${text} ${units[unit]}`;
}

/** `2 h 5 min`: the two largest units. */
export function duration(seconds: number): string {
  const units: [number, string][] = [[86_400, "d"], [3600, "h"], [60, "min"], [
    1,
    "s",
  ]];
  const parts = [];
  for (const [length, name] of units) {
    const value = Math.floor(seconds / length);
    seconds -= value * length;
    if (value > 0 || parts.length > 0) parts.push(`${value} ${name}`);
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}
