import assert from "node:assert/strict";
import { LineWriter, maxWaitingLength } from "../../src/common/line_writer.ts";
import { sleep, within } from "../../src/common/timing.ts";

const onDropped = (): void => assert.fail("Dropped");

Deno.test("LineWriter keeps the order, and writes what comes together at once", async () => {
  const writes: string[] = [];
  const begun = Promise.withResolvers<void>();
  const first = Promise.withResolvers<void>();
  const writer = new LineWriter({
    write: (text) => {
      writes.push(text);
      begun.resolve();
      return writes.length === 1 ? first.promise : Promise.resolve();
    },
    onDropped,
  });
  writer.add("1\n");
  writer.add("2\n");
  await begun.promise;
  writer.add("3\n");
  writer.add("4\n");
  first.resolve();
  await writer.flush();
  assert.deepEqual(writes, ["1\n2\n", "3\n4\n"]);
});

Deno.test("LineWriter.hurry() ends the wait for more lines", async () => {
  const writes: string[] = [];
  const writer = new LineWriter({
    write: (text) => {
      writes.push(text);
      return Promise.resolve();
    },
    onDropped,
  });
  writer.hurry();
  writer.add("1\n");
  await Promise.resolve();
  assert.deepEqual(writes, []);
  writer.hurry();
  await sleep(0);
  assert.deepEqual(writes, ["1\n"]);
  await writer.flush();
});

Deno.test("LineWriter drops what doesn't fit while its reader stalls, and tells how much", async () => {
  const stalled = Promise.withResolvers<void>();
  let output = "";
  const writer = new LineWriter({
    write: async (text) => {
      await stalled.promise;
      output += text;
    },
    onDropped: (lines) => writer.add(`${lines} dropped\n`),
  });
  const line = "x".repeat(1023) + "\n";
  for (let i = 0; i < 5000; i++) writer.add(line);
  stalled.resolve();
  await writer.flush();
  const kept = maxWaitingLength / line.length;
  assert.equal(output, line.repeat(kept) + `${5000 - kept} dropped\n`);
});

Deno.test("LineWriter.flush() doesn't wait for ever", async () => {
  const never = Promise.withResolvers<void>();
  const writer = new LineWriter({ write: () => never.promise, onDropped });
  writer.add("x\n");
  const flushed = writer.flush().then(() => "flushed");
  assert.equal(await within(flushed, 10_000), "flushed");
  never.resolve();
  await writer.flush();
});

Deno.test("LineWriter goes on when a write fails", async () => {
  const writes: string[] = [];
  const writer = new LineWriter({
    write: (text) => {
      writes.push(text);
      return Promise.reject(new Deno.errors.BrokenPipe());
    },
    onDropped,
  });
  writer.add("1\n");
  await writer.flush();
  writer.add("2\n");
  await writer.flush();
  assert.deepEqual(writes, ["1\n", "2\n"]);
});
