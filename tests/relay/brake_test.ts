import assert from "node:assert/strict";
import { type Bridge, NoBridge } from "../../src/relay/bridge.ts";
import { closes } from "../../src/relay/close.ts";
import type { Limits } from "../../src/relay/limits.ts";
import { eventually, within } from "../../tools/eventually.ts";
import { lacking } from "../helpers/listener.ts";
import { text } from "../helpers/messages.ts";
import {
  closePayload,
  frameBytes,
  opcodes,
  RawClient,
  readClose,
} from "../../tools/raw_client.ts";
import { RecordingBridge } from "../helpers/recording_bridge.ts";
import { startServer, type TestServer } from "../helpers/server.ts";
import { testUnless } from "../helpers/skip.ts";
import { StubNode, type StubSocket, turnOver } from "./stub_clients.ts";

/** With a message of 600 a reader is behind; at 250 it has caught up. */
const limits = { brakeBytes: 500, clientBufferBytes: 2000, slowAfterS: 10 };
const big = "b".repeat(600);

function startNode(
  { bridge = new NoBridge(), ...others }:
    & Partial<Limits>
    & { bridge?: Bridge } = {},
): StubNode {
  return new StubNode({ bridge, limits: { ...limits, ...others } });
}

/** Makes `count` members of `/x`, all of which are behind with what the first of them has sent. */
async function joinBraked(
  node: StubNode,
  count: number,
): Promise<[StubSocket, StubSocket, StubSocket]> {
  const [a, ...others] = await node.joinMany("/x", count);
  a!.socket.receive(big);
  await turnOver();
  const [one, two] = others;
  return [a!.socket, one!.socket, two?.socket ?? one!.socket];
}

Deno.test("Brake holds a channel's senders while a reader is behind, and lets them go on", async () => {
  using node = startNode();
  const [a, reader] = await joinBraked(node, 2);
  const [other, otherReader] = await node.joinMany("/y", 2);
  a.receive("1", "2");
  other!.socket.receive("elsewhere");
  await turnOver();
  assert.equal(a.waiting, 2);
  assert.deepEqual(reader.got, [big]);
  assert.deepEqual(otherReader!.socket.got, ["elsewhere"]);
  assert.equal(node.metrics.messagesReceived, 2);

  reader.take(251);
  await turnOver();
  assert.equal(a.waiting, 2);
  reader.take(250);
  await turnOver();
  assert.equal(a.waiting, 0);
  assert.deepEqual(reader.got, [big, "1", "2"]);
});

Deno.test("Brake is on until all who are behind have caught up, or left", async () => {
  const ends: ((socket: StubSocket) => void)[] = [
    (socket) => socket.take(),
    (socket) => socket.hangUp(),
    // It braked its channel until its answer was written, for close_timeout_s if it read nothing.
    (socket) => socket.sayGoodbye(),
  ];
  for (const end of ends) {
    using node = startNode();
    const [a, one, two] = await joinBraked(node, 3);
    a.receive("1");
    one.take();
    await turnOver();
    assert.equal(a.waiting, 1);
    end(two);
    await turnOver();
    assert.equal(a.waiting, 0);
    assert.deepEqual(one.got, [big, "1"]);
    assert.equal(node.channels.memberCount("/x"), two.state === "open" ? 3 : 2);
  }
});

Deno.test("Brake counts who is held, how often, and how long", async () => {
  using node = startNode();
  const { metrics } = node;
  const [a, b, reader] = await joinBraked(node, 3);
  a.receive("1", "2");
  b.receive("3");
  assert.deepEqual([metrics.sendersHeld, metrics.senderHolds], [2, 2]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  b.take();
  reader.take();
  await turnOver();
  assert.deepEqual([metrics.sendersHeld, metrics.senderHolds], [0, 2]);
  assert.ok(metrics.senderHeldSeconds > 2 * 0.015);
  assert.ok(metrics.senderHeldSeconds < 2 * 10);
});

Deno.test("Brake.tick() ends a reader who is behind for slow_after_s, and the channel goes on", async () => {
  using node = startNode({ slowAfterS: 0.5 });
  const { metrics } = node;
  const [a, reader, stalled] = await joinBraked(node, 3);
  a.receive("1");
  // One who catches up and falls behind again isn't that one.
  reader.take();
  await eventually(() => metrics.closes.slow === 1, "the end of the stalled");
  assert.deepEqual(stalled.closed, closes.slow);
  assert.equal(metrics.limitHits.slow_after_s, 1);
  assert.equal(metrics.limitHits.client_buffer_bytes, 0);
  await turnOver();
  assert.deepEqual(reader.got, [big, "1"]);
  assert.equal(node.channels.memberCount("/x"), 2);
});

Deno.test("Brake forgets a held sender that leaves, and what it held", async () => {
  using node = startNode();
  const [a, b, reader] = await node.joinMany("/x", 3);
  a!.socket.receive(big);
  await turnOver();
  a!.socket.receive("from a");
  b!.socket.receive("from b");
  a!.socket.hangUp();
  assert.equal(node.metrics.sendersHeld, 1);
  b!.socket.take();
  reader!.socket.take();
  // After the brake, before its turn to go on.
  b!.client.end("gap");
  await turnOver();
  assert.equal(node.metrics.sendersHeld, 0);
  assert.deepEqual(reader!.socket.got, [big]);
});

// The end of the reader let the senders go on while the message that ended it
// was being sent: what they published overtook it at the readers behind it.
Deno.test("Brake lets nobody overtake what is being sent", async () => {
  using node = startNode({ clientBufferBytes: 1e5 });
  const [a, stalled, reader] = await joinBraked(node, 3);
  reader.take();
  a.receive("l".repeat(70_000), "m".repeat(70_000), "s");
  // The last one ends it.
  for (const content of ["1".repeat(100_000), "2"]) {
    node.channels.deliver("/x", text(content));
    await turnOver();
    reader.take();
    a.take();
  }
  assert.deepEqual(stalled.closed, closes.slow);
  for (let turn = 0; turn < 5; turn++) {
    await turnOver();
    reader.take();
  }
  const initials = reader.got.map((content) => (content as string)[0]);
  assert.deepEqual(initials, ["b", "1", "2", "l", "m", "s"]);
});

// Those whose turn it wasn't were held anew, behind the one that had gone on.
Deno.test("Held.release() lets those go on first who wait the longest", async () => {
  using node = startNode({ clientBufferBytes: 1e6 });
  const all = await node.joinMany("/x", 4);
  const [a, b, c, reader] = all.map(({ socket }) => socket);
  for (const { socket } of all) socket.queuedBytes = 501;
  node.channels.deliver("/x", text("0"));
  await turnOver();
  for (const [name, socket] of Object.entries({ a, b, c })) {
    socket!.receive(...[1, 2, 3, 4].map((n) => `${name}${n}`.padEnd(70_000)));
  }
  for (let turn = 0; turn < 10; turn++) {
    for (const { socket } of all) socket.take();
    await turnOver();
  }
  // A message of this size goes out when the next one is there.
  assert.deepEqual(
    reader!.got.map((content) => (content as string).trim()),
    "0 a1 a2 b1 b2 c1 c2 a3 a4 b3 b4 c3 c4".split(" "),
  );
});

// Its early messages put on the brake of a channel that it had left already,
// which nobody could release.
Deno.test("Brake isn't put on by a client that was ended before its socket opened", async () => {
  using node = startNode();
  const [a, b] = await node.joinMany("/x", 2);
  const newcomer = node.newClient();
  await newcomer.join("/x");
  a!.socket.receive(big);
  await turnOver();
  b!.socket.take();
  newcomer.end("gap");
  const socket = node.attach(newcomer);
  // Behind what it got.
  assert.deepEqual([socket.got, socket.closed], [[big], closes.gap]);
  a!.socket.receive("1");
  await turnOver();
  assert.deepEqual(b!.socket.got, [big, "1"]);
});

Deno.test("Channels.congested() holds the senders of a channel until the bridge keeps up, and no others", async () => {
  const bridge = new RecordingBridge();
  using node = startNode({ bridge });
  const { metrics, channels } = node;
  const [a, b] = [await node.join("/x"), await node.join("/y")];
  channels.congested("/x", true);
  a.socket.receive("1");
  b.socket.receive("2");
  assert.equal(metrics.sendersHeld, 1);
  assert.deepEqual(bridge.calls.slice(2), ["publish /y 2"]);
  channels.congested("/x", true);
  channels.congested("/y", false);
  await turnOver();
  assert.equal(metrics.sendersHeld, 1);
  channels.congested("/x", false);
  await turnOver();
  assert.equal(metrics.sendersHeld, 0);
  assert.deepEqual(bridge.calls.slice(3), ["publish /x 1"]);
  // Somebody may have left meanwhile.
  channels.congested("/nobody", true);
});

Deno.test("Brake is on as long as the bridge or a reader is behind", async () => {
  using node = startNode();
  const [a, reader] = await joinBraked(node, 2);
  a.receive("1");
  node.channels.congested("/x", true);
  reader.take();
  await turnOver();
  assert.equal(node.metrics.sendersHeld, 1);
  reader.queuedBytes = 501;
  node.channels.deliver("/x", text("2"));
  await turnOver();
  node.channels.congested("/x", false);
  await turnOver();
  assert.equal(node.metrics.sendersHeld, 1);
  reader.take();
  await turnOver();
  assert.deepEqual(reader.got, [big, "2", "1"]);
});

Deno.test("Channels.congested() holds nobody for longer than slow_after_s, until the bridge kept up once", async () => {
  const bridge = new RecordingBridge();
  using node = startNode({ bridge, slowAfterS: 0.5 });
  const { metrics } = node;
  const { socket } = await node.join("/x");
  node.channels.congested("/x", true);
  socket.receive("1");
  await eventually(() => metrics.sendersHeld === 0, "the end of the wait");
  // A reload doesn't begin it anew.
  node.limits.slowAfterS = 10;
  node.channels.congested("/x", true);
  socket.receive("2");
  assert.deepEqual(bridge.calls.slice(1), ["publish /x 1", "publish /x 2"]);
  assert.equal(metrics.closes.slow, 0);

  node.channels.congested("/x", false);
  node.channels.congested("/x", true);
  socket.receive("3");
  assert.equal(metrics.sendersHeld, 1);
  node.channels.congested("/x", false);
});

const noBrake = lacking("brake");

const frame = frameBytes(opcodes.binary, new Uint8Array(16_384));

/** Two clients of the same channel that read when they are told to. */
async function joinTwo(
  { socket }: TestServer,
): Promise<[RawClient, RawClient]> {
  const target = { socket };
  return [
    await RawClient.join(target, "/x"),
    await RawClient.join(target, "/x"),
  ];
}

/** Writes the frame `count` times, as fast as that is taken. */
async function writeFrames(client: RawClient, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await client.write(frame);
}

testUnless(noBrake, {
  name:
    "Server makes a sender as slow as its reader, loses nothing, and notices its goodbye once it may go on",
  fn: async () => {
    await using server = await startServer({ limits: { brakeBytes: 65536 } });
    const { metrics, channels, limits } = server.server;
    const [reader, sender] = await joinTwo(server);
    const count = 640;
    const sending = writeFrames(sender, count).then(() =>
      sender.send(opcodes.close, closePayload(1000))
    );
    await eventually(() => metrics.sendersHeld === 1, "a held sender");
    // It stays so: nobody reads.
    const { messagesReceived } = metrics;
    assert.ok(messagesReceived < count / 2, `${messagesReceived} got through`);
    assert.ok(server.server.bufferedBytes < limits.brakeBytes * 3);
    for (let i = 0; i < count; i++) {
      assert.equal((await reader.readFrame())?.payload.length, 16_384);
    }
    await within(sending, "the rest to be sent");
    const answer = (await sender.readToEnd()).map(({ opcode }) => opcode);
    assert.deepEqual(answer, [opcodes.close]);
    await eventually(() => metrics.disconnects[1000] === 1, "the count");
    assert.equal(channels.memberCount("/x"), 1);
    assert.equal(metrics.messagesReceived, count);
    assert.deepEqual([metrics.sendersHeld, metrics.closes.slow], [0, 0]);
    for (const client of [reader, sender]) client.close();
  },
});

testUnless(noBrake, {
  name: "Server ends two clients that only write, both with 4000",
  fn: async () => {
    await using server = await startServer({
      limits: { brakeBytes: 65536, slowAfterS: 1, closeTimeoutS: 2 },
    });
    const { metrics, channels } = server.server;
    const [a, b] = await joinTwo(server);
    // Each is behind, and holds the other.
    const third = await server.connect("/x");
    third.send(new Uint8Array(1 << 20));
    // Until the connection ends.
    const writing = [a, b].map((client) =>
      writeFrames(client, Infinity).catch(() => {})
    );
    await eventually(() => metrics.closes.slow === 2, "both to be ended");
    assert.equal(metrics.limitHits.slow_after_s, 2);
    assert.equal(channels.memberCount("/x"), 1);
    assert.equal(metrics.sendersHeld, 0);
    await Promise.all([a, b].map(async (client) => {
      const last = (await client.readToEnd()).at(-1);
      assert.equal(last?.opcode, opcodes.close);
      assert.deepEqual(readClose(last!.payload), closes.slow);
      client.close();
    }));
    await Promise.all(writing);
  },
});
