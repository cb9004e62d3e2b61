/** What systemd is told, heard on a socket like its own. */
import assert from "node:assert/strict";
import { ServiceManager } from "../../src/system/systemd.ts";
import { NotifyListener } from "../helpers/notify_listener.ts";

Deno.test("ServiceManager tells the states of a process in order", async () => {
  await using listener = new NotifyListener();
  using manager = ServiceManager.connect({ NOTIFY_SOCKET: listener.path });
  assert.equal(manager.isPresent, true);
  await manager.ready("0 channels,\n0 clients");
  await manager.reloading();
  await manager.failed("Cannot read");
  await manager.stopping(5000);
  const states = [
    "READY=1\nSTATUS=0 channels, 0 clients",
    "RELOADING=1",
    "STATUS=Cannot read",
    "STOPPING=1\nSTATUS=Stopping\nEXTEND_TIMEOUT_USEC=5000000",
  ];
  for (const expected of states) {
    assert.equal(await listener.next(), expected);
  }
});

Deno.test("ServiceManager.watch() feeds the watchdog until the process stops", async () => {
  await using listener = new NotifyListener();
  using manager = ServiceManager.connect({
    NOTIFY_SOCKET: listener.path,
    WATCHDOG_USEC: "20000",
    WATCHDOG_PID: String(Deno.pid),
  });
  manager.watch(() => "fine");
  // Its timers keep no process alive.
  const alive = setInterval(() => {}, 1000);
  for (let i = 0; i < 3; i++) {
    assert.equal(await listener.next(), "WATCHDOG=1");
  }
  clearInterval(alive);
  await manager.stopping(1000);
  let last = "";
  while (!last.startsWith("STOPPING=1")) last = await listener.next();
});

Deno.test("ServiceManager.watch() leaves another process's watchdog alone", async () => {
  await using listener = new NotifyListener();
  using manager = ServiceManager.connect({
    NOTIFY_SOCKET: listener.path,
    WATCHDOG_USEC: "1000",
    WATCHDOG_PID: "1",
  });
  // It would send the first sign of life at once.
  manager.watch(() => "fine");
  await manager.ready("now");
  assert.equal(await listener.next(), "READY=1\nSTATUS=now");
});

Deno.test("ServiceManager ignores everything without systemd, outlives it, and says which path can't be reached", async () => {
  using none = ServiceManager.connect({});
  assert.equal(none.isPresent, false);
  await none.ready("fine");
  none.watch(() => "fine");
  const listener = new NotifyListener();
  using manager = ServiceManager.connect({ NOTIFY_SOCKET: listener.path });
  await listener[Symbol.asyncDispose]();
  await manager.ready("fine");
  const expected = {
    "@abstract": 'a path that begins with "/"',
    ["/".padEnd(108, "x")]: "a path of 107 bytes at most",
  };
  for (const [path, words] of Object.entries(expected)) {
    using manager = ServiceManager.connect({ NOTIFY_SOCKET: path });
    assert.equal(manager.isPresent, false);
    assert.equal(manager.problem, `Cannot notify "${path}": expected ${words}`);
  }
});
