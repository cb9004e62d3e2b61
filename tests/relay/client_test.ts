import assert from "node:assert/strict";
import { NoBridge } from "../../src/relay/bridge.ts";
import { Channels } from "../../src/relay/channels.ts";
import { Client } from "../../src/relay/client.ts";
import { closes } from "../../src/relay/close.ts";
import { Metrics } from "../../src/relay/metrics.ts";
import { testLimits } from "../helpers/server.ts";

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
    released: () => {},
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
