import assert from "node:assert/strict";
import { channelUrl, join } from "../../../src/commands/join/join.ts";
import { UsageError } from "../../../src/common/errors.ts";
import { commandContext } from "../../helpers/command_line.ts";
import { startServer } from "../../helpers/server.ts";

Deno.test("channelUrl() takes WebSocket URLs, and paths on a socket", () => {
  const url = "wss://example.org/a?b";
  assert.equal(channelUrl({ url: `${url}#c` }, undefined), url);
  assert.equal(channelUrl({}, url), url);
  assert.equal(
    channelUrl({ url: "/a", socket: "/s" }, undefined),
    "ws://localhost/a",
  );
  const refused: [string | undefined, RegExp][] = [
    [undefined, /staps url/],
    ["", /staps url/],
    ["/a", /--socket/],
    ["https://example.org/a", /wss:\/\/ instead of https:\/\//],
    ["example.org/a", /^$/],
  ];
  for (const [url, hint] of refused) {
    assert.throws(
      () => channelUrl(url === undefined ? {} : { url }, undefined),
      (error: unknown) =>
        error instanceof UsageError && hint.test(error.hint ?? "") &&
        !error.message.includes("example.org"),
      url,
    );
  }
});

Deno.test("join.run() takes the URL of the environment", async () => {
  await using server = await startServer();
  const context = commandContext({ environment: { STAPS_URL: "/x" } });
  assert.equal(await join.run({ socket: server.socket }, context), 0);
  assert.equal(server.server.metrics.connects, 1);
});
