import assert from "node:assert/strict";
import {
  clientsFor,
  fdLimit,
  filesFor,
  refusedFor,
} from "../../src/system/open_files.ts";
import { eventually } from "../helpers/eventually.ts";
import { Process } from "../helpers/process.ts";

Deno.test("fdLimit() says what the system says", async () => {
  const text = await Deno.readTextFile("/proc/self/limits");
  const soft = /^Max open files +(\S+)/m.exec(text)![1]!;
  assert.equal(fdLimit(), soft === "unlimited" ? Infinity : Number(soft));
});

Deno.test("fdLimit() knows other processes, and which there are none", async () => {
  await using child = new Process("prlimit", [
    "--nofile=123:456",
    "sleep",
    "60",
  ]);
  await eventually(() => fdLimit(child.pid) === 123, "prlimit to become sleep");
  await child.stop("SIGKILL");
  assert.equal(fdLimit(child.pid), undefined);
});

Deno.test("clientsFor() leaves room for more than clients", () => {
  assert.equal(clientsFor(Infinity), Infinity);
  assert.equal(clientsFor(65_536), 64_512);
  assert.equal(clientsFor(1024), 768);
});

Deno.test("refusedFor() leaves some files for the node itself", () => {
  assert.deepEqual([Infinity, 65_536, 1024, 200, 100].map(refusedFor), [
    256,
    256,
    216,
    10,
    0,
  ]);
});

Deno.test("filesFor() is enough for as many clients", () => {
  for (const clients of [1, 2, 3, 100, 768, 3071, 3072, 3073, 10_000, 1e6]) {
    assert.ok(clientsFor(filesFor(clients)) >= clients, `${clients} clients`);
    assert.ok(filesFor(clients) <= clients + 1024);
  }
});
