import assert from "node:assert/strict";
import {
  clientsFor,
  fdLimit,
  filesFor,
  refusedFor,
} from "../../src/system/open_files.ts";
import { eventually } from "../../tools/eventually.ts";
import { Process } from "../../tools/process.ts";

Deno.test("fdLimit() says what the system says, of other processes too, and of none", async () => {
  const text = await Deno.readTextFile("/proc/self/limits");
  const soft = /^Max open files +(\S+)/m.exec(text)![1]!;
  assert.equal(fdLimit(), soft === "unlimited" ? Infinity : Number(soft));
  const args = ["--nofile=123:456", "sleep", "60"];
  await using child = new Process("prlimit", args);
  await eventually(() => fdLimit(child.pid) === 123, "prlimit to become sleep");
  await child.stop("SIGKILL");
  assert.equal(fdLimit(child.pid), undefined);
});

Deno.test("clientsFor() and refusedFor() leave some files for the node itself", () => {
  const files = [Infinity, 65_536, 1024, 200, 100];
  assert.deepEqual(files.map(clientsFor), [Infinity, 64_512, 768, 150, 75]);
  assert.deepEqual(files.map(refusedFor), [256, 256, 216, 10, 0]);
});

Deno.test("filesFor() is enough for as many clients", () => {
  for (const clients of [1, 2, 3, 100, 768, 3071, 3072, 3073, 10_000, 1e6]) {
    assert.ok(clientsFor(filesFor(clients)) >= clients, `${clients} clients`);
    assert.ok(filesFor(clients) <= clients + 1024);
  }
});
