import assert from "node:assert/strict";
import { type Bridge, NoBridge } from "../../src/relay/bridge.ts";
import { Channels, type Member, type Sink } from "../../src/relay/channels.ts";
import type { CloseName } from "../../src/relay/close.ts";
import type { Message } from "../../src/relay/message.ts";
import { Metrics } from "../../src/relay/metrics.ts";
import { RecordingBridge } from "../helpers/recording_bridge.ts";

class RecordingMember implements Member {
  readonly got: Message[] = [];
  readonly ends: CloseName[] = [];
  readonly checks: (number | undefined)[] = [];

  sink: Sink = { send: (message) => this.got.push(message) };

  checkBacklog(added: number | undefined): void {
    this.checks.push(added);
  }

  end(why: CloseName): void {
    this.ends.push(why);
  }
}

/** The backlog of each member is checked at each 100 bytes. */
const limits = { clientBufferBytes: 1600 };

function newChannels(
  bridge: Bridge = new NoBridge(),
): { channels: Channels; metrics: Metrics } {
  const metrics = new Metrics();
  return { channels: new Channels({ bridge, metrics, limits }), metrics };
}

Deno.test("Channels.publish() skips the sender and reaches every other member", () => {
  const { channels, metrics } = newChannels();
  const [a, b, c, other] = [1, 2, 3, 4].map(() => new RecordingMember());
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
  const { channels } = newChannels(bridge);
  const member = new RecordingMember();
  const channel = channels.join("/a", member);
  channels.publish(channel, { message: "x", bytes: 1, sender: member });
  assert.deepEqual(bridge.calls, ["join /a", "publish /a x"]);
});

Deno.test("Channels.deliver() reaches every member and doesn't come back to the bridge", () => {
  const bridge = new RecordingBridge();
  const { channels } = newChannels(bridge);
  const member = new RecordingMember();
  channels.join("/a", member);
  channels.deliver("/a", "x", 1);
  channels.deliver("/nobody", "y", 1);
  assert.deepEqual(member.got, ["x"]);
  assert.deepEqual(bridge.calls, ["join /a"]);
});

Deno.test("Channels.leave() ends the channel with its last member", () => {
  const bridge = new RecordingBridge();
  const { channels } = newChannels(bridge);
  const [a, b] = [new RecordingMember(), new RecordingMember()];
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
  const { channels } = newChannels();
  const [a, b] = [new RecordingMember(), new RecordingMember()];
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
  const { channels } = newChannels(bridge);
  const [a, b] = [new RecordingMember(), new RecordingMember()];
  const channel = channels.join("/a", a);
  assert.equal(channels.join("/a", b), channel);
  channels.publish(channel, { message: "early", bytes: 5, sender: a });
  assert.deepEqual(b.got, ["early"]);
  assert.deepEqual(bridge.calls, ["join /a", "publish /a early"]);
  resolve();
  await channel.bridged;
});

Deno.test("Channels.replaceSink() sends what comes from now on to the new sink, unless the member has left", () => {
  const { channels } = newChannels();
  const [a, b] = [new RecordingMember(), new RecordingMember()];
  const channel = channels.join("/a", a);
  channels.join("/a", b);
  const old = b.sink;
  const later: Message[] = [];
  b.sink = { send: (message) => later.push(message) };
  channels.replaceSink(channel, b, old);
  channels.publish(channel, { message: "x", bytes: 1, sender: a });
  assert.deepEqual([b.got, later], [[], ["x"]]);

  channels.leave(channel, b);
  channels.replaceSink(channel, b, old);
  channels.publish(channel, { message: "y", bytes: 1, sender: a });
  assert.deepEqual([b.got, later], [[], ["x"]]);
});

Deno.test("Channels.gap() ends the members of the channels concerned, and no others", () => {
  const { channels } = newChannels();
  const [a, b] = [new RecordingMember(), new RecordingMember()];
  channels.join("/a", a);
  channels.join("/b", b);
  channels.gap(["/a", "/nobody"]);
  assert.deepEqual([a.ends, b.ends], [["gap"], []]);
  channels.gap("all");
  assert.deepEqual([a.ends, b.ends], [["gap", "gap"], ["gap"]]);
});

Deno.test("Channels.publish() checks the backlog of everyone, the sender too, before a message that makes it due", () => {
  const { channels } = newChannels();
  const [a, b] = [new RecordingMember(), new RecordingMember()];
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
