import assert from "node:assert/strict";
import type { HttpServer } from "../../src/listener/http.ts";
import { BridgeUnavailableError } from "../../src/relay/bridge.ts";
import { closes } from "../../src/relay/close.ts";
import { eventually, within } from "../../tools/eventually.ts";
import { text } from "../helpers/messages.ts";
import { RecordingBridge } from "../helpers/recording_bridge.ts";
import { startServer, type TestServer } from "../helpers/server.ts";

/** Waits until the server has no client and no channel left. */
function untilEmpty({ server }: TestServer): Promise<unknown> {
  return eventually(
    () => server.clientCount === 0 && server.channels.size === 0,
    "an empty server",
  );
}

Deno.test("Server answers the handshake only when the bridge has joined", async () => {
  const bridge = new RecordingBridge();
  const { promise, resolve } = Promise.withResolvers<void>();
  bridge.joining = promise;
  await using server = await startServer({ bridge });
  let opened = false;
  const joining = server.connect("/x").then((client) => {
    opened = true;
    return client;
  });
  await eventually(() => bridge.calls.length > 0, "the join");
  // What others publish meanwhile waits for it.
  bridge.listener!.deliver("/x", text("early"));
  assert.equal(opened, false);
  resolve();
  const client = await joining;
  assert.equal(await client.next(), "early");
});

Deno.test("Server answers 503 with Retry-After when the bridge refuses, and keeps nothing", async () => {
  const bridge = new RecordingBridge();
  bridge.joining = Promise.reject(new BridgeUnavailableError());
  bridge.joining.catch(() => {});
  await using server = await startServer({ bridge });
  await assert.rejects(server.connect("/x"));
  assert.equal(server.server.metrics.refusals[503], 1);
  await untilEmpty(server);
  assert.deepEqual(bridge.calls, ["join /x", "leave /x"]);
});

Deno.test("Server.stop() tells every client to come back, at different times", async () => {
  await using server = await startServer();
  const clients = await Promise.all(
    Array.from({ length: 20 }, () => server.connect("/x")),
  );
  await server.server.stop();
  const closed = await Promise.all(clients.map((client) => client.closed));
  const retries = closed.map(({ code, reason }) => {
    assert.equal(code, closes.restart.code);
    const [, retry] = reason.match(/^service restart, retry=(\d+)$/)!;
    return Number(retry);
  });
  assert.ok(new Set(retries).size > 10);
  assert.ok(retries.every((retry) => retry <= 10_000));
  assert.equal(server.server.clientCount, 0);
  assert.equal(server.server.channels.size, 0);
  await assert.rejects(Deno.stat(server.socket), Deno.errors.NotFound);
  await assert.rejects(server.connect("/x"));
});

/** A listener that listens nowhere. */
const stubListener = {
  addr: { transport: "unix", path: "/s" },
  connectionCount: 0,
  finished: Promise.resolve(),
  shutdown: () => Promise.resolve(),
} as const;

Deno.test("Server.start() leaves nothing behind when it can't listen everywhere", async () => {
  const bridge = new RecordingBridge();
  let isListening = true;
  const shutdown = (): Promise<void> => {
    isListening = false;
    return Promise.resolve();
  };
  const listen = [
    () => ({ ...stubListener, shutdown }),
    () => Promise.reject(new Error("no room")),
  ];
  await assert.rejects(startServer({ bridge, listen }), { message: "no room" });
  assert.equal(isListening, false);
  assert.deepEqual(bridge.calls, ["close"]);
});

Deno.test("Server.failure tells that connections aren't accepted any more", async () => {
  const failing = (): HttpServer => ({
    ...stubListener,
    finished: Promise.reject(new Error("too many open files")),
  });
  await using server = await startServer({ listen: [failing] });
  const failure = await within(server.server.failure, "the failure");
  assert.equal(
    failure.message,
    "Cannot accept clients any more: too many open files",
  );
});
