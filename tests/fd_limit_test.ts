import assert from "node:assert/strict";
import { fdLimit } from "../src/fd_limit.ts";
import { eventually } from "./helpers/eventually.ts";
import { Process } from "./helpers/process.ts";

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
