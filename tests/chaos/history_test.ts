/** Histories in files, the messages in them, and what the protocol says about ends. */
import assert from "node:assert/strict";
import { TempFolder } from "../../tools/folder.ts";
import { type Outcome, repository, runProgram } from "../../tools/process.ts";
import { fc } from "../helpers/property.ts";
import { Random } from "../helpers/random.ts";
import { protocol } from "./checked_crowd.ts";
import { readDocumented } from "./documented.ts";
import { type Event, History, readHistory } from "./history.ts";
import { Payloads, readName } from "./payload.ts";
import { eventsOf } from "./written_history.ts";

Deno.test("readHistory() gets what History wrote, without a line that was cut off", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/history`;
  const events: Event[] = [];
  {
    using history = History.begin({
      ...{ path, seed: 7, onEvent: (event) => events.push(event) },
    });
    const heal = history.fault("disk-full", 2);
    for (let i = 0; i < 5000; i++) {
      history.add({ event: "stall", connection: 1, ms: i });
    }
    heal();
  }
  await Deno.writeTextFile(path, '{"timeMs":12,"event":"dial"', {
    append: true,
  });
  assert.deepEqual(await Array.fromAsync(readHistory(path)), events);
  assert.equal(events.length, 5003);
});

Deno.test("check.ts tells the verdict on a file", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/history.jsonl`;
  const check = async (history: string): Promise<Outcome> => {
    const lines = eventsOf(history).map((event) => JSON.stringify(event));
    await Deno.writeTextFile(path, `${lines.join("\n")}\n`);
    return await runProgram(Deno.execPath(), [
      ...["run", "--allow-read", `${repository}/tests/chaos/check.ts`, path],
    ]);
  };
  const good = await check("1 joins; 1 leaves");
  assert.equal(JSON.parse(good.stdout).connections, 1, good.stderr);
  assert.equal(good.code, 0);
  const bad = await check("1 joins");
  assert.equal(JSON.parse(bad.stdout).violations[0].kind, "unended");
  assert.equal(bad.code, 1);
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
  assert.ok(statuses.has(503) && statuses.has(429) && !statuses.has(500));
  assert.throws(() => readDocumented(""), /docs\/protocol\.md/);
});
