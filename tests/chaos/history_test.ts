/** Histories in files, the messages in them, and what the protocol says about ends. */
import assert from "node:assert/strict";
import { TempFolder } from "../../tools/folder.ts";
import { repository, runProgram } from "../../tools/process.ts";
import { fc } from "../helpers/property.ts";
import { Random } from "../helpers/random.ts";
import { protocol, readDocumented } from "./documented.ts";
import { type Event, History, readHistory } from "./history.ts";
import { Payloads, readName } from "./payload.ts";

Deno.test("readHistory() gets what History wrote, without a line that was cut off; the checker gets the verdict", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/history.jsonl`;
  const events: Event[] = [];
  {
    using history = History.begin({
      ...{ path, seed: 7, onEvent: (event) => events.push(event) },
    });
    const heal = history.fault("disk-full", 2);
    const connection = history.newConnection();
    history.add({ event: "dial", connection, channel: 1, door: 0 });
    for (let i = 0; i < 5000; i++) {
      history.add({ event: "stall", connection, ms: i });
    }
    heal();
  }
  await Deno.writeTextFile(path, '{"timeMs":12,"event":"dial"', {
    append: true,
  });
  assert.deepEqual(await Array.fromAsync(readHistory(path)), events);
  assert.equal(events.length, 5004);

  const checker = `${repository}/tests/chaos/checker.ts`;
  const args = ["run", "--allow-read", checker, path];
  const { stdout, stderr } = await runProgram(Deno.execPath(), args);
  assert.equal(JSON.parse(stdout).violations[0].kind, "unended", stderr);
});

Deno.test("Payloads carry their name at any size, and text is text", () => {
  const payloads = new Payloads(new Random(), 100_000);
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 1e9 }),
    fc.integer({ min: 1, max: 1e9 }),
    fc.integer({ min: 0, max: 100_000 }),
    fc.constantFrom("text", "binary"),
    (publisher, number, bytes, kind) => {
      const payload = payloads.named({ publisher, number, kind, bytes });
      assert.deepEqual(readName(payload), { publisher, number });
      if (bytes > 16) assert.equal(payload.length, bytes);
      const decoder = new TextDecoder("utf-8", { fatal: true });
      if (kind === "text") decoder.decode(payload);
      const unnamed = payloads.unnamed({ kind, bytes: bytes % 9 });
      assert.equal(readName(unnamed).publisher, 0);
    },
  ));
});

Deno.test("readDocumented() takes the closes and statuses from the tables", () => {
  const { closes, statuses } = readDocumented(protocol);
  assert.equal(
    [...closes.keys()].sort().join(),
    "1001,1002,1006,1007,1008,1009,1011,4000,4001",
  );
  const isReason = (code: number, reason: string): boolean =>
    closes.get(code)!.test(reason);
  assert.ok(isReason(1001, "service restart, retry=12"));
  assert.ok(isReason(1001, "no answer to a ping"));
  assert.ok(!isReason(1001, "service restart"));
  assert.ok(isReason(1002, "reserved bit set"));
  assert.ok(isReason(1006, "") && !isReason(1006, "x"));
  assert.ok(statuses.has(503) && statuses.has(429) && !statuses.has(500));
  assert.ok(statuses.has(502) && statuses.has(504));
  assert.throws(() => readDocumented(""), /docs\/protocol\.md/);
});
