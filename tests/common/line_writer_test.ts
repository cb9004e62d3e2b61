import assert from "node:assert/strict";
import { LineWriter, maxWaitingLength } from "../../src/common/line_writer.ts";
import { within } from "../../src/common/timing.ts";

/** A LineWriter, and what it writes, once `write` lets it. */
function keeper(
  write: () => Promise<void> = () => Promise.resolve(),
): { writes: string[]; writer: LineWriter } {
  const writes: string[] = [];
  const writer = new LineWriter({
    write: (text) => {
      writes.push(text);
      return write();
    },
    onDropped: (lines) => writer.add(`${lines} dropped\n`),
  });
  return { writes, writer };
}

Deno.test("LineWriter keeps the order, and writes what comes together at once", async () => {
  const begun = Promise.withResolvers<void>();
  const first = Promise.withResolvers<void>();
  const { writes, writer } = keeper(() => {
    begun.resolve();
    return first.promise;
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

Deno.test("LineWriter drops what doesn't fit while its reader stalls, and tells how much", async () => {
  const stalled = Promise.withResolvers<void>();
  const { writes, writer } = keeper(() => stalled.promise);
  const line = "x".repeat(1023) + "\n";
  for (let i = 0; i < 5000; i++) writer.add(line);
  stalled.resolve();
  await writer.flush();
  const kept = maxWaitingLength / line.length;
  assert.equal(writes.join(""), line.repeat(kept) + `${5000 - kept} dropped\n`);
});

Deno.test("LineWriter.flush() doesn't wait for ever", async () => {
  const never = Promise.withResolvers<void>();
  const { writer } = keeper(() => never.promise);
  writer.add("x\n");
  const flushed = writer.flush().then(() => "flushed");
  assert.equal(await within(flushed, 10_000), "flushed");
  never.resolve();
  await writer.flush();
});

Deno.test("LineWriter goes on when a write fails", async () => {
  const { writes, writer } = keeper(() => Promise.reject(new Error("broken")));
  writer.add("1\n");
  await writer.flush();
  writer.add("2\n");
  await writer.flush();
  assert.deepEqual(writes, ["1\n", "2\n"]);
});
