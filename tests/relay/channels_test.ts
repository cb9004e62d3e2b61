import assert from "node:assert/strict";
import { type Bridge, NoBridge } from "../../src/relay/bridge.ts";
import { Channels } from "../../src/relay/channels.ts";
import { Client, type Sink } from "../../src/relay/client.ts";
import type { CloseName } from "../../src/relay/close.ts";
import type { Message } from "../../src/relay/message.ts";
import { Metrics } from "../../src/relay/metrics.ts";
import { RecordingBridge } from "../helpers/recording_bridge.ts";
import { testLimits } from "../helpers/server.ts";

/** A client that remembers what its channel does to it. */
class RecordingClient extends Client {
  readonly got: Message[] = [];
  readonly ends: CloseName[] = [];
  readonly checks: (number | undefined)[] = [];
  stubSink: Sink = sinkInto(this.got);

  override get sink(): Sink {
    return this.stubSink;
  }

  override checkBacklog(added: number | undefined): void {
    this.checks.push(added);
  }

  override end(why: CloseName): void {
    this.ends.push(why);
  }
}

/** Gets a sink that adds to `messages`. */
function sinkInto(messages: Message[]): Sink {
  const send = (message: Message): number => messages.push(message);
  return { messages, bytes: 0, send };
}

/** The backlog of each member is checked at each 100 bytes. */
const limits = { ...testLimits, clientBufferBytes: 1600 };

/** Channels, and what makes clients for them. */
interface TestChannels {
  readonly channels: Channels;
  readonly metrics: Metrics;
  newClient(): RecordingClient;
}

function newChannels(bridge: Bridge = new NoBridge()): TestChannels {
  const metrics = new Metrics();
  const channels = new Channels({ bridge, metrics, limits });
  const options = { channels, metrics, limits, onReleased: () => {} };
  return { channels, metrics, newClient: () => new RecordingClient(options) };
}

Deno.test("Channels.publish() skips the sender and reaches every other client", () => {
  const { channels, metrics, newClient } = newChannels();
  const [a, b, c, other] = [1, 2, 3, 4].map(() => newClient());
  const channel = channels.join("/a", a!);
  channels.join("/a", b!);
  channels.join("/a", c!);
  channels.join("/b", other!);
  channels.publish(channel, { message: "hello", bytes: 5, sender: a! });
  assert.deepEqual([a!.got, b!.got, c!.got, other!.got], [
    [],
    ["hello"],
    ["hello"],
    [],
  ]);
  assert.equal(metrics.deliveries, 2);
  assert.equal(metrics.bytesDelivered, 10);
});

Deno.test("Channels.publish() hands the message to the bridge once", () => {
  const bridge = new RecordingBridge();
  const { channels, newClient } = newChannels(bridge);
  const client = newClient();
  const channel = channels.join("/a", client);
  channels.publish(channel, { message: "x", bytes: 1, sender: client });
  assert.deepEqual(bridge.calls, ["join /a", "publish /a x"]);
});

Deno.test("Channels.deliver() reaches every client and doesn't come back to the bridge", () => {
  const bridge = new RecordingBridge();
  const { channels, newClient } = newChannels(bridge);
  const client = newClient();
  channels.join("/a", client);
  channels.deliver("/a", "x", 1);
  channels.deliver("/nobody", "y", 1);
  assert.deepEqual(client.got, ["x"]);
  assert.deepEqual(bridge.calls, ["join /a"]);
});

Deno.test("Channels.leave() ends the channel with its last member", () => {
  const bridge = new RecordingBridge();
  const { channels, newClient } = newChannels(bridge);
  const [a, b] = [newClient(), newClient()];
  const channel = channels.join("/a", a);
  channels.join("/a", b);
  channels.leave(channel, a);
  assert.equal(channels.size, 1);
  channels.leave(channel, b);
  channels.leave(channel, b);
  assert.equal(channels.size, 0);
  assert.equal(channels.memberCount("/a"), 0);
  assert.deepEqual(bridge.calls, ["join /a", "leave /a"]);
});

Deno.test("Channels.join() begins a new channel after the last leave, and an old one can't end it", () => {
  const { channels, newClient } = newChannels();
  const [a, b] = [newClient(), newClient()];
  const first = channels.join("/a", a);
  channels.leave(first, a);
  const second = channels.join("/a", b);
  channels.leave(first, a);
  assert.equal(channels.size, 1);
  assert.notEqual(first, second);
});

Deno.test("Channels.join() makes a member of a newcomer before the bridge is ready", async () => {
  const bridge = new RecordingBridge();
  const { promise, resolve } = Promise.withResolvers<void>();
  bridge.joining = promise;
  const { channels, newClient } = newChannels(bridge);
  const [a, b] = [newClient(), newClient()];
  const channel = channels.join("/a", a);
  assert.equal(channels.join("/a", b), channel);
  channels.publish(channel, { message: "early", bytes: 5, sender: a });
  assert.deepEqual(b.got, ["early"]);
  assert.deepEqual(bridge.calls, ["join /a", "publish /a early"]);
  resolve();
  await channel.bridged;
});

Deno.test("Channel.replaceSink() sends what comes from now on to the new sink, unless the client has left", () => {
  const { channels, newClient } = newChannels();
  const [a, b] = [newClient(), newClient()];
  const channel = channels.join("/a", a);
  channels.join("/a", b);
  const old = b.sink;
  const later: Message[] = [];
  b.stubSink = sinkInto(later);
  channel.replaceSink(b, old);
  channels.publish(channel, { message: "x", bytes: 1, sender: a });
  assert.deepEqual([b.got, later], [[], ["x"]]);

  channels.leave(channel, b);
  channel.replaceSink(b, old);
  channels.publish(channel, { message: "y", bytes: 1, sender: a });
  assert.deepEqual([b.got, later], [[], ["x"]]);
});

Deno.test("Channels.gap() ends the members of the channels concerned, and no others", () => {
  const { channels, newClient } = newChannels();
  const [a, b] = [newClient(), newClient()];
  channels.join("/a", a);
  channels.join("/b", b);
  channels.gap(["/a", "/nobody"]);
  assert.deepEqual([a.ends, b.ends], [["gap"], []]);
  channels.gap("all");
  assert.deepEqual([a.ends, b.ends], [["gap", "gap"], ["gap"]]);
});

Deno.test("Channels.publish() checks the backlog of everyone, the sender too, before a message that makes it due", () => {
  const { channels, newClient } = newChannels();
  const [a, b] = [newClient(), newClient()];
  const channel = channels.join("/a", a);
  channels.join("/a", b);
  b.checkBacklog = (added): void => {
    b.checks.push(added);
    if (b.checks.length === 2) channels.leave(channel, b);
  };
  for (const sender of [a, b]) {
    channels.publish(channel, { message: "x", bytes: 1, sender });
  }
  assert.deepEqual([a.checks, b.checks], [[undefined, 1], [1, undefined]]);
  channels.publish(channel, { message: "y", bytes: 1, sender: a });
  assert.deepEqual([a.got, b.got], [["x"], ["x"]]);
});
