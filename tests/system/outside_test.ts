import assert from "node:assert/strict";
import { configureLog, log } from "../../src/common/log.ts";
import { type Found, Outside, type OwnFile } from "../../src/system/outside.ts";

const gone: Found = { state: "lost", why: "it is gone", isFinal: true };

/** Gets a file that is found as `finds` says, again and again. */
function fileFound(finds: () => Found): OwnFile {
  const paths = ["/run/s", "/run/t"];
  return { role: "socket", path: "/run/s", paths, look: finds };
}

Deno.test("Outside.look() keeps what is lost, and logs each change once", async () => {
  let logged = "";
  configureLog({
    level: "info",
    format: "journal",
    write: (text) => {
      logged += text;
      return Promise.resolve();
    },
  });
  using outside = new Outside();
  let found: Found = { state: "there" };
  outside.add(fileFound(() => found));
  assert.deepEqual(outside.paths, ["/run/s", "/run/t"]);
  const lossesFor = (state: Found): unknown => {
    found = state;
    outside.look();
    outside.look();
    return outside.losses;
  };
  const message = 'The socket "/run/s" is lost: it is gone';
  assert.deepEqual(lossesFor({ state: "there" }), []);
  assert.deepEqual(lossesFor(gone), [
    { role: "socket", message, isFinal: true },
  ]);
  assert.deepEqual(lossesFor({ state: "there" }), []);
  found = { state: "made again" };
  outside.look();
  await log.flush();
  const again = "<4>the socket was gone, and is there again path=/run/s\n";
  assert.equal(
    logged,
    `<3>the socket is lost path=/run/s why="it is gone"\n${again}${again}`,
  );
});

Deno.test("Outside looks by itself, until it is disposed of", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  using outside = new Outside((losses) => {
    if (losses.length > 0) resolve();
  });
  outside.add(fileFound(() => gone));
  const keepAlive = setInterval(() => {}, 1000);
  await promise;
  clearInterval(keepAlive);
  outside[Symbol.dispose]();
  assert.deepEqual(outside.losses, []);
});
