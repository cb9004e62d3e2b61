import assert from "node:assert/strict";
import { largeBytes, own } from "../../src/common/large_memory.ts";
import { closes } from "../../src/relay/close.ts";
import type { Message } from "../../src/relay/message.ts";
import { maxTurnBytes } from "../../src/relay/turn.ts";
import { contentOf, text } from "../helpers/messages.ts";
import { RecordingBridge } from "../helpers/recording_bridge.ts";
import { StubNode, turnOver } from "./stub_clients.ts";

Deno.test("Channels.publish() skips the sender and reaches every other client", async () => {
  using node = new StubNode();
  const [a, b, c] = await node.joinMany("/a", 3);
  const other = await node.join("/b");
  a!.socket.receive("hello");
  await turnOver();
  assert.deepEqual(
    [a, b, c, other].map((each) => each!.socket.got),
    [[], ["hello"], ["hello"], []],
  );
  assert.equal(node.metrics.deliveries, 2);
  assert.equal(node.metrics.bytesDelivered, 10);
});

Deno.test("Channels.publish() keeps the order of all senders, whatever their turns bring", async () => {
  using node = new StubNode({ limits: { clientBufferBytes: 8 << 20 } });
  const [a, b, reader] = await node.joinMany("/a", 3);
  const large = "l".repeat(maxTurnBytes);
  a!.socket.receive("a1", large, "a2");
  b!.socket.receive("b1", "b2");
  a!.socket.receive("a3");
  await turnOver();
  const all = ["a1", large, "a2", "b1", "b2", "a3"];
  assert.deepEqual(reader!.socket.got, all);
  assert.deepEqual(b!.socket.got, ["a1", large, "a2", "a3"]);
  assert.deepEqual(a!.socket.got, ["b1", "b2"]);
});

Deno.test("Channels.publish() sends what one turn brings in one piece, and not more than a turn's worth late", async () => {
  using node = new StubNode();
  const [a, reader] = await node.joinMany("/a", 2);
  a!.socket.receive("1", "2", "3");
  assert.equal(reader!.socket.pieces.length, 0);
  await turnOver();
  assert.equal(reader!.socket.pieces.length, 1);
  a!.socket.receive("4", "x".repeat(maxTurnBytes), "5");
  // Without waiting: 4, then what is too large for a turn.
  assert.equal(reader!.socket.pieces.length, 3);
  await turnOver();
  assert.equal(reader!.socket.pieces.length, 4);
});

Deno.test("Channels.deliver() reaches every client, and endTurns() at once, and doesn't come back to the bridge", async () => {
  const bridge = new RecordingBridge();
  using node = new StubNode({ bridge });
  const [a, b] = [await node.join("/a"), await node.join("/b")];
  node.channels.deliver("/a", text("x"));
  node.channels.deliver("/b", text("y"));
  node.channels.deliver("/nobody", text("z"));
  node.channels.endTurns();
  const got = () => [a.socket.got, b.socket.got];
  assert.deepEqual(got(), [["x"], ["y"]]);
  await turnOver();
  assert.deepEqual(got(), [["x"], ["y"]]);
  assert.deepEqual(bridge.calls, ["join /a", "join /b"]);
});

Deno.test("Channels.leave() ends the channel with its last member, and no later one", () => {
  const bridge = new RecordingBridge();
  using node = new StubNode({ bridge });
  const { channels } = node;
  const [a, b] = [node.newClient(), node.newClient()];
  const first = channels.join("/a", a);
  channels.join("/a", b);
  channels.leave(first, a);
  assert.equal(channels.size, 1);
  channels.leave(first, b);
  channels.leave(first, b);
  assert.deepEqual([channels.size, channels.memberCount("/a")], [0, 0]);
  assert.deepEqual(bridge.calls, ["join /a", "leave /a"]);
  const second = channels.join("/a", b);
  channels.leave(first, a);
  assert.equal(channels.size, 1);
  assert.notEqual(first, second);
});

Deno.test("Channels.leave() spares the leaver what its turn would still bring, and nobody else", async () => {
  using node = new StubNode();
  const [a, b, c] = await node.joinMany("/a", 3);
  a!.socket.receive("from a");
  b!.client.end("gap");
  a!.socket.hangUp();
  await turnOver();
  assert.deepEqual(b!.socket.got, []);
  assert.deepEqual(c!.socket.got, ["from a"]);
});

Deno.test("Channels.join() makes a member of a newcomer before the bridge is ready", async () => {
  const bridge = new RecordingBridge();
  using node = new StubNode({ bridge });
  const [a] = await node.joinMany("/a", 1);
  const newcomer = node.newClient();
  const joining = newcomer.join("/a");
  a!.socket.receive("early");
  await turnOver();
  assert.deepEqual(bridge.calls, ["join /a", "publish /a early"]);
  await joining;
  assert.deepEqual(node.attach(newcomer).got, ["early"]);
});

Deno.test("Channels.join() gives a newcomer nothing that was published before, in the same turn either", async () => {
  using node = new StubNode();
  const [a, b] = await node.joinMany("/a", 2);
  a!.socket.receive("before");
  const newcomer = await node.join("/a");
  a!.socket.receive("after");
  await turnOver();
  assert.deepEqual(newcomer.socket.got, ["after"]);
  assert.deepEqual(b!.socket.got, ["before", "after"]);
});

Deno.test("Channels.gap() ends the members of the channels concerned, and no others", async () => {
  using node = new StubNode();
  const [a, b] = [await node.join("/a"), await node.join("/b")];
  node.channels.gap(["/a", "/nobody"]);
  assert.deepEqual(a.socket.closed, closes.gap);
  assert.equal(b.socket.closed, undefined);
  node.channels.gap("all");
  assert.deepEqual(b.socket.closed, closes.gap);
  assert.equal(node.channels.size, 0);
});

Deno.test("the memory of a large message goes with its turn, unless somebody still needs it", async () => {
  using node = new StubNode();
  const [sender] = await node.joinMany("/a", 2);
  const largeMessage = (): Message => {
    const message = text("l".repeat(largeBytes));
    own(message.frame);
    return message;
  };
  const first = largeMessage();
  sender!.client.message(first);
  await turnOver();
  assert.equal(first.frame.length, 0);
  // Its handshake isn't answered yet.
  const newcomer = node.newClient();
  await newcomer.join("/a");
  const second = largeMessage();
  sender!.client.message(second);
  await turnOver();
  assert.deepEqual(node.attach(newcomer).got, [contentOf(second)]);
});
