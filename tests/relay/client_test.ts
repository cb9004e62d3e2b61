import assert from "node:assert/strict";
import { pieceOverheadBytes } from "../../src/listener/write_queue.ts";
import { BridgeUnavailableError } from "../../src/relay/bridge.ts";
import { closes } from "../../src/relay/close.ts";
import { text } from "../helpers/messages.ts";
import { RecordingBridge } from "../helpers/recording_bridge.ts";
import { type StubClient, StubNode, turnOver } from "./stub_clients.ts";

Deno.test("Client.join() leaves again when the bridge refuses", async () => {
  const bridge = new RecordingBridge();
  bridge.joining = Promise.reject(new BridgeUnavailableError());
  using node = new StubNode({ bridge });
  await assert.rejects(node.newClient().join("/x"), BridgeUnavailableError);
  assert.equal(node.channels.size, 0);
  assert.deepEqual(bridge.calls, ["join /x", "leave /x"]);
});

Deno.test("Client.attach() sends what came before, and then what comes", async () => {
  using node = new StubNode();
  const client = node.newClient();
  await client.join("/x");
  for (const content of ["1", "2"]) {
    node.channels.deliver("/x", text(content));
    await turnOver();
  }
  const frameBytes = 3;
  assert.equal(client.queuedBytes, 2 * (frameBytes + pieceOverheadBytes));
  const socket = node.attach(client);
  node.channels.deliver("/x", text("3"));
  await turnOver();
  assert.deepEqual(socket.got, ["1", "2", "3"]);
  assert.equal(client.queuedBytes, 3 * frameBytes);
});

Deno.test("Client.send() ends one for which too much waits before it has a socket", async () => {
  // Small messages take far more memory than bytes.
  using node = new StubNode({ limits: { clientBufferBytes: 5000 } });
  const client = node.newClient();
  await client.join("/x");
  for (let i = 0; i < 20; i++) {
    node.channels.deliver("/x", text("x"));
    await turnOver();
  }
  assert.equal(node.metrics.closes.slow, 1);
  assert.ok(client.queuedBytes < 5000 + pieceOverheadBytes);
  assert.deepEqual(node.attach(client).closed, closes.slow);
});

Deno.test("Client.send() brakes nobody for a socket that can't wait, and ends it over client_buffer_bytes", async () => {
  using node = new StubNode({
    limits: { brakeBytes: 500, clientBufferBytes: 2000 },
  });
  const [a, b] = await node.joinMany("/x", 2);
  a!.socket.canWait = false;
  b!.socket.canWait = false;
  for (let i = 0; i < 4; i++) {
    a!.socket.receive("x".repeat(600));
    await turnOver();
  }
  assert.equal(node.metrics.senderHolds, 0);
  assert.equal(b!.socket.got.length, 4);
  a!.socket.receive("x");
  await turnOver();
  assert.deepEqual(b!.socket.closed, closes.slow);
});

Deno.test("Client.send() brakes at half of client_buffer_bytes, however much brake_bytes is", async () => {
  const limits = { brakeBytes: 2000, clientBufferBytes: 2000 };
  using node = new StubNode({ limits });
  const [a] = await node.joinMany("/x", 2);
  a!.socket.receive("x".repeat(1001));
  await turnOver();
  a!.socket.receive("held");
  assert.equal(a!.socket.waiting, 1);
});

Deno.test("Client.message() publishes nothing of one that was ended, nor beyond its rate", async () => {
  using node = new StubNode({ limits: { messagesPerSecond: 2 } });
  const [a, b] = await node.joinMany("/x", 2);
  a!.socket.receive("1", "2", "3", "4");
  await turnOver();
  assert.deepEqual(b!.socket.got, ["1", "2"]);
  assert.deepEqual(a!.socket.closed, closes.rate);
  assert.equal(node.metrics.limitHits.messages_per_second, 1);
  assert.equal(node.metrics.messagesReceived, 3);
  assert.equal(a!.client.message(text("5")), true);
  assert.equal(node.metrics.messagesReceived, 3);
});

Deno.test("Client.faulted() counts the fault as the close that it leads to, once, and leaves", async () => {
  const cases = [
    ["protocol", "protocol"],
    ["not_utf8", "not_text"],
    ["too_big", "too_big"],
    ["idle", "idle"],
    ["handler", "fault"],
  ] as const;
  for (const [fault, close] of cases) {
    using node = new StubNode();
    const { client } = await node.join("/x");
    client.faulted(fault);
    client.end("restart");
    assert.equal(node.channels.size, 0);
    const counted = Object.entries(node.metrics.closes)
      .filter(([, count]) => count > 0);
    assert.deepEqual(counted, [[close, 1]]);
    assert.equal(
      node.metrics.limitHits.message_bytes,
      fault === "too_big" ? 1 : 0,
    );
  }
});

Deno.test("Client.end() ends once", async () => {
  using node = new StubNode();
  const { client, socket } = await node.join("/x");
  client.end("gap");
  client.end("restart");
  client.endBeyond("slow_after_s");
  client.faulted("protocol");
  assert.deepEqual(socket.closed, closes.gap);
  const { metrics } = node;
  assert.deepEqual([metrics.closes.gap, metrics.closes.restart], [1, 0]);
  assert.equal(metrics.limitHits.slow_after_s, 0);
});

// A stop counted clients as its own that only waited for the answer to their close.
Deno.test("Client.end() does nothing to a client that has said goodbye", async () => {
  using node = new StubNode();
  const { client, socket } = await node.join("/x");
  socket.sayGoodbye();
  client.end("restart");
  client.closed(1000);
  assert.equal(socket.closed, undefined);
  const { closes, disconnects } = node.metrics;
  assert.equal(closes.restart, 0);
  assert.equal(disconnects["1000"], 1);
});

// A client that got its 1009 and went counted as lost, like a broken network.
Deno.test("Client.closed() leaves, and counts the connection once, by its code, else by staps's, an unanswered ping as lost", async () => {
  const cases: [code: number, end: (one: StubClient) => void][] = [
    [1000, ({ client }) => [1000, 1001].map((code) => client.closed(code))],
    [1006, () => {}],
    [4000, ({ client }) => client.end("slow")],
    [1009, ({ client }) => client.faulted("too_big")],
    [1006, ({ client }) => client.faulted("idle")],
  ];
  for (const [code, end] of cases) {
    using node = new StubNode();
    const one = await node.join("/x");
    end(one);
    one.socket.hangUp();
    assert.equal(node.channels.size, 0);
    const counted = Object.entries(node.metrics.disconnects)
      .filter(([, count]) => count > 0);
    assert.deepEqual(counted, [[`${code}`, 1]]);
  }
  // It was no connection.
  using node = new StubNode();
  const early = node.newClient();
  await early.join("/x");
  early.closed(undefined);
  assert.equal(node.channels.size, 0);
  assert.equal(node.metrics.disconnects[1006], 0);
});
