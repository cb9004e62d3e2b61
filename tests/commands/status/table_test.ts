import assert from "node:assert/strict";
import type { Status } from "../../../src/admin/status.ts";
import {
  bytes,
  count,
  duration,
  type Rates,
  table,
} from "../../../src/commands/status/table.ts";
import { block } from "../../helpers/docs.ts";
import { bridgeStatus, nodeStatus } from "../../helpers/node_status.ts";

/** Gets the table without colours of {@linkcode nodeStatus}, changed so. */
function tableOf(change: Partial<Status>, rates?: Rates): string {
  const paint = (_meaning: string, text: string): string => text;
  return table({ ...nodeStatus, ...change }, { paint, rates });
}

Deno.test("table() shows what docs/commands.md says that staps status prints", async () => {
  const text = tableOf({ bridge: bridgeStatus });
  assert.equal(await block("docs/commands.md", "status"), text);
});

Deno.test("table() shows what changes per second", () => {
  const rates = { received: 12.34, delivered: 1234.5, connects: 0, cpu: 0.123 };
  const text = tableOf({}, rates);
  assert.match(text, /^received {4}1,234,567 messages \(12\/s\), /m);
  assert.match(text, /^delivered {3}9,876,543 messages \(1,235\/s\), /m);
  assert.match(text, /^connects {4}45,678 \(0\/s\)$/m);
  assert.match(text, /, 12 % of a core, /);
});

Deno.test("table() shows that there is no bridge, or why a node isn't ready", () => {
  const alone = tableOf({ closes: {} as Status["closes"] });
  assert.match(alone, /^closed {6}none$/m);
  assert.match(alone, /^bridge {6}none, this node works alone$/m);
  const silent = tableOf({
    ready: false,
    reasons: [{ reason: "broker_silent", message: "returns nothing" }],
    bridge: { ...bridgeStatus, round_trip_ms: null },
  });
  assert.match(silent, /^ready {7}no, broker_silent: returns nothing$/m);
  assert.match(silent, /no message comes back$/m);
});

Deno.test("table() lets no text of an answer steer the terminal", () => {
  const evil = "\x1b]0;owned\x07\n\u202e";
  const text = tableOf({
    version: evil,
    ready: false,
    reasons: [{ reason: evil as "stopping", message: evil }],
    closes: Object.assign({}, nodeStatus.closes, { [evil]: 5 }),
    limit_hits: { [evil]: 5 },
    bridge: { ...bridgeStatus, broker: evil },
  });
  assert.match(text, /owned/);
  assert.doesNotMatch(text, /[^\x20-\x7e\n]/);
  const lines = tableOf({ bridge: bridgeStatus }).split("\n");
  assert.equal(text.split("\n").length, lines.length);
});

Deno.test("count(), bytes() and duration() write for people", () => {
  const counts = [0, 0.05, 9.99, 10.4, 1234567].map(count);
  assert.deepEqual(counts, ["0", "0.1", "10", "10", "1,234,567"]);
  const sizes = [0, 1023, 1024, 1536, 5 << 20, 2 ** 31].map(bytes);
  assert.equal(sizes.join(), "0 B,1,023 B,1 KiB,1.5 KiB,5 MiB,2 GiB");
  const times = [0, 59, 60, 3661, 90_000].map(duration);
  assert.equal(times.join(), "0 s,59 s,1 min 0 s,1 h 1 min,1 d 1 h");
});
