import assert from "node:assert/strict";
import { configureLog, log } from "../../src/common/log.ts";
import { type Found, Outside, type OwnFile } from "../../src/system/outside.ts";

/** A file that is found as the test says. */
class TestFile implements OwnFile {
  readonly role = "socket";
  readonly path = "/run/s";
  readonly paths = ["/run/s", "/run/t"];
  found: Found = { state: "there" };

  look(): Found {
    return this.found;
  }
}

Deno.test("Outside.look() keeps what is lost, and logs each change once", async () => {
  const lines: string[] = [];
  configureLog({
    level: "info",
    format: "text",
    write: (text) => {
      lines.push(...text.trim().split("\n"));
      return Promise.resolve();
    },
  });
  using outside = new Outside();
  const file = new TestFile();
  outside.add(file);
  assert.deepEqual(outside.paths, ["/run/s", "/run/t"]);
  outside.look();
  assert.deepEqual(outside.losses, []);
  file.found = { state: "lost", why: "it is gone", isFinal: true };
  outside.look();
  outside.look();
  assert.deepEqual(outside.losses, [{
    role: "socket",
    message: 'The socket "/run/s" is lost: it is gone',
    isFinal: true,
  }]);
  file.found = { state: "there" };
  outside.look();
  outside.look();
  assert.deepEqual(outside.losses, []);
  file.found = { state: "made again" };
  outside.look();
  await log.flush();
  assert.deepEqual(lines.map((line) => line.replace(/^\S+ /, "")), [
    'error the socket is lost path=/run/s why="it is gone"',
    "warn the socket was gone, and is there again path=/run/s",
    "warn the socket was gone, and is there again path=/run/s",
  ]);
});

Deno.test("Outside looks by itself, until it is disposed of", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  using outside = new Outside((losses) => {
    if (losses.length > 0) resolve();
  });
  const file = new TestFile();
  file.found = { state: "lost", why: "it is gone", isFinal: false };
  outside.add(file);
  const keepAlive = setInterval(() => {}, 1000);
  await promise;
  clearInterval(keepAlive);
  outside[Symbol.dispose]();
  assert.deepEqual(outside.losses, []);
});
