import assert from "node:assert/strict";
import { NoBridge } from "../../src/relay/bridge.ts";
import { Channels } from "../../src/relay/channels.ts";
import { Client } from "../../src/relay/client.ts";
import { closes } from "../../src/relay/close.ts";
import { Metrics } from "../../src/relay/metrics.ts";
import { eventually, within } from "../helpers/eventually.ts";
import {
  concat,
  frameBytes,
  opcodes,
  RawClient,
} from "../helpers/raw_client.ts";
import { connectStalled, startServer, testLimits } from "../helpers/server.ts";

/** The runtime's socket as far as a client uses it, written when a test says so. */
class StubSocket extends EventTarget {
  bufferedAmount = 0;
  closed: number | undefined;

  send(message: string): void {
    this.bufferedAmount += message.length;
  }

  close(code: number): void {
    this.closed = code;
  }
}

/** Gets a client in the channel "/x" whose socket is open. */
async function openClient(): Promise<
  {
    client: Client;
    socket: StubSocket;
    metrics: Metrics;
    deliver(text: string): void;
  }
> {
  const metrics = new Metrics();
  const limits = testLimits;
  const channels = new Channels({ bridge: new NoBridge(), metrics, limits });
  const client = new Client({
    channels,
    limits,
    metrics,
    onReleased: () => {},
  });
  await client.join("/x");
  const socket = new StubSocket();
  client.attach(socket as unknown as WebSocket);
  socket.dispatchEvent(new Event("open"));
  const deliver = (text: string): void =>
    channels.deliver("/x", text, text.length);
  return { client, socket, metrics, deliver };
}

// What was written so far had not changed for long, as there was nothing to
// write: a message on its way made the client look stalled.
Deno.test("Client.endIfStalled() spares one that was idle until a moment ago", async () => {
  const { client, socket, metrics, deliver } = await openClient();
  for (let look = 0; look < 3; look++) {
    client.endIfStalled();
    client.endIfStalled();
    deliver("message");
    client.endIfStalled();
    socket.bufferedAmount = 0;
  }
  client.release();
  assert.equal(metrics.closes.slow, 0);
});

Deno.test("Client.endIfStalled() ends one that took nothing since the last call", async () => {
  const { client, socket, deliver } = await openClient();
  deliver("1");
  client.endIfStalled();
  deliver("2");
  client.endIfStalled();
  client.release();
  assert.equal(socket.closed, closes.slow.code);
});

Deno.test("Client.endIfStalled() spares one that took something", async () => {
  const { client, socket, metrics, deliver } = await openClient();
  for (let look = 0; look < 5; look++) {
    deliver("1");
    deliver("2");
    client.endIfStalled();
    socket.bufferedAmount -= 1;
  }
  client.release();
  assert.equal(metrics.closes.slow, 0);
});

Deno.test("Client.endIfStalled() closes a client that takes nothing of what waits for it for idle_timeout_s", async () => {
  await using server = await startServer({ limits: { idleTimeoutS: 1 } });
  const [sender, reader] = await Promise.all([
    server.connect("/x"),
    server.connect("/x"),
  ]);
  using _stalled = await connectStalled(server, "/x");
  const { metrics, channels } = server.server;
  await eventually(() => metrics.connects === 3, "the client that stalls");
  // More than the kernel takes, less than may wait.
  for (let i = 0; i < 32; i++) sender.send(new Uint8Array(65536));
  await reader.take(32);
  await eventually(() => metrics.closes.slow === 1, "the close as slow");
  assert.equal(channels.memberCount("/x"), 2);
});

// While small messages come without a pause, the runtime reads them all before
// it writes any: the overhead of those that wait made every reader look slow.
Deno.test("Client.checkBacklog() gives readers time when a flood of small messages comes at once", async () => {
  // With their overhead the messages count 15 MiB.
  await using server = await startServer({
    limits: { messageBytes: 65536, clientBufferBytes: 4 << 20 },
  });
  const { metrics } = server.server;
  using reader = await connectStalled(server, "/x");
  await eventually(() => metrics.connects === 1, "the reader");
  const messages = 60_000;
  let received = 0;
  const reading = (async () => {
    const chunk = new Uint8Array(65536);
    // The 101 is longer than a few frames, and counts as nothing.
    while (received < messages * 3) {
      const bytes = await reader.read(chunk);
      if (bytes === null) break;
      received += bytes;
    }
  })();
  using sender = await RawClient.join({ socket: server.socket }, "/x");
  await sender.write(
    concat(Array.from(
      { length: messages },
      () => frameBytes(opcodes.binary, new Uint8Array(1)),
    )),
  );
  await within(reading, "the flood at the reader");
  assert.equal(metrics.closes.slow, 0);
  assert.ok(received >= messages * 3);
});
