import assert from "node:assert/strict";
import type { Status } from "../../../src/admin/status.ts";
import {
  bytes,
  count,
  duration,
  table,
} from "../../../src/commands/status/table.ts";
import { block } from "../../helpers/docs.ts";
import { nodeStatus } from "../../helpers/node_status.ts";

const now = nodeStatus;
const bridge = {
  connected: true,
  broker: "rabbit:5672",
  round_trip_ms: 1.2,
  outbox_messages: 0,
  outbox_bytes: 0,
  messages_sent: 7,
  messages_received: 8,
  gaps: 0,
  connects: 1,
};
const paint = (_meaning: string, text: string): string => text;

Deno.test("table() shows a node in lines of a name and what there is to say", () => {
  assert.equal(
    table(now, { paint }),
    `staps 1.2.3, process 42, up 1 h 2 min
ready       yes
clients     1,234 of 10,000
channels    5 of 10,000
connects    2,000
received    1,000,000 messages, 61 MiB
delivered   5,000,000 messages, 305 MiB
waiting     0 B for clients to read
closed      2 too_big, 1 slow
limits hit  2 message_bytes
bridge      none, this node works alone
process     100 MiB of memory, 61 s of processor time, event loop up to 1.5 ms late
`,
  );
});

Deno.test("table() shows what changes per second", () => {
  const rates = { received: 12.34, delivered: 1234.5, connects: 0, cpu: 0.123 };
  const text = table(now, { paint, rates });
  assert.match(text, /^received {4}1,000,000 messages \(12\/s\), /m);
  assert.match(text, /^delivered {3}5,000,000 messages \(1,235\/s\), /m);
  assert.match(text, /^connects {4}2,000 \(0\/s\)$/m);
  assert.match(text, /, 12 % of a core, /);
});

Deno.test("table() shows the bridge, and why a node isn't ready", () => {
  const text = table({ ...now, bridge }, { paint });
  assert.match(
    text,
    /^bridge {6}connected to rabbit:5672, round trip 1.2 ms$/m,
  );
  assert.match(text, /^bridged {5}7 messages sent, 8 received, 0 gaps$/m);
  const silent = table({
    ...now,
    ready: false,
    reasons: [{ reason: "broker_silent", message: "returns nothing" }],
    bridge: { ...bridge, round_trip_ms: null },
  }, { paint });
  assert.match(silent, /^ready {7}no, broker_silent: returns nothing$/m);
  assert.match(silent, /no message comes back$/m);
});

Deno.test("table() lets no text of an answer steer the terminal", () => {
  const evil = "\x1b]0;owned\x07\n\u202e";
  const text = table({
    ...now,
    version: evil,
    ready: false,
    reasons: [{ reason: evil as "stopping", message: evil }],
    closes: Object.assign({}, now.closes, { [evil]: 5 }),
    limit_hits: { [evil]: 5 },
    bridge: { ...bridge, broker: evil },
  }, { paint });
  assert.match(text, /owned/);
  assert.doesNotMatch(text, /[^\x20-\x7e\n]/);
  assert.equal(
    text.split("\n").length,
    table(now, { paint }).split("\n").length + 2,
  );
});

Deno.test("count(), bytes() and duration() write for people", () => {
  const counts = [0, 0.05, 9.99, 10.4, 1234567].map(count);
  assert.deepEqual(counts, ["0", "0.1", "10", "10", "1,234,567"]);
  const sizes = [0, 1023, 1024, 1536, 5 << 20, 2 ** 31].map(bytes);
  assert.equal(sizes.join(), "0 B,1,023 B,1 KiB,1.5 KiB,5 MiB,2 GiB");
  const times = [0, 59, 60, 3661, 90_000].map(duration);
  assert.equal(times.join(), "0 s,59 s,1 min 0 s,1 h 1 min,1 d 1 h");
});

Deno.test("docs/commands.md shows what staps status prints", async () => {
  const sample: Status = {
    ...now,
    version: "0.1.0",
    pid: 4711,
    uptime_s: 2 * 86_400 + 3 * 3600,
    channels: 321,
    connects: 45_678,
    messages_received: 1_234_567,
    received_bytes: 75.3 * 2 ** 20,
    deliveries: 9_876_543,
    delivered_bytes: 603 * 2 ** 20,
    closes: { ...now.closes, too_big: 1, slow: 2 },
    limit_hits: { message_bytes: 1, client_buffer_bytes: 2 },
    event_loop_lag_ms: 2.1,
    memory_bytes: 151 * 2 ** 20,
    cpu_s: 412,
    bridge: {
      ...bridge,
      messages_sent: 1_234_567,
      messages_received: 345_678,
    },
  };
  assert.equal(
    await block("docs/commands.md", "status"),
    table(sample, { paint }),
  );
});
