import assert from "node:assert/strict";
import {
  processFigures,
  startTimeSeconds,
} from "../../src/admin/process_figures.ts";

Deno.test("processFigures() counts the open files", async () => {
  const before = processFigures();
  assert.ok(before.cpuSeconds > 0);
  assert.ok(before.heapBytes > 0);
  assert.ok(before.residentBytes > before.heapBytes);
  const files = await Promise.all(
    Array.from({ length: 50 }, () => Deno.open("/dev/null")),
  );
  assert.ok(processFigures().openFds! >= before.openFds! + 50);
  for (const file of files) file.close();
});

Deno.test("startTimeSeconds is the time at which this process began", () => {
  const ageSeconds = Date.now() / 1000 - startTimeSeconds;
  assert.ok(Math.abs(ageSeconds - performance.now() / 1000) < 1);
});
