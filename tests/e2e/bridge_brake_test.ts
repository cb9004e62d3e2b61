/**
 * The brake of bridged channels: while the broker takes too little, whoever
 * publishes much is held, for at most `slow_after_s`, and whoever publishes
 * little notices nothing. With real nodes and a real RabbitMQ.
 */
import assert from "node:assert/strict";
import { closes } from "../../src/relay/close.ts";
import { ask, readSamples } from "../helpers/admin.ts";
import { type Broker, startBroker } from "../../tools/broker.ts";
import { eventually, within } from "../../tools/eventually.ts";
import { FaultyProxy } from "../../tools/faulty_proxy.ts";
import { type Staps, startStaps } from "../../tools/process.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { type Client, Clients } from "../../tools/ws_client.ts";

const KiB = 1024;
const outboxBytes = 256 * KiB;

/** What is sent at once: far more than the outbox takes. */
const messages = Array.from(
  { length: 4_000 },
  (_, i) => `${i} `.padEnd(KiB, "x"),
);

/** Somebody who publishes on one node, and somebody who reads on another one. */
interface Pair {
  readonly sender: Client;
  readonly reader: Client;
  /** Two in another channel of the same nodes, who say little. */
  readonly quiet: { readonly sender: Client; readonly reader: Client };
  /** Between the sender's node and the broker. */
  readonly proxy: FaultyProxy;
  /** The metrics of the sender's node. */
  figures(): Promise<Map<string, number>>;
}

async function startPair(
  stack: AsyncDisposableStack,
  broker: Broker,
  { slowAfterS }: { slowAfterS: number },
): Promise<Pair> {
  const vhost = await broker.addVhost();
  const proxy = stack.use(await FaultyProxy.start(broker.port));
  const [path, quietPath] = [newPath(), newPath()];
  const start = async (port: number): Promise<[Staps, Client, Client]> => {
    const staps = stack.use(
      await startStaps({
        config: `
[staps]
amqp = ${broker.url(vhost, { port })}
[admin]
socket = ~/admin
[limits]
message_bytes = 64K
slow_after_s = ${slowAfterS}
[bridge]
outbox_bytes = ${outboxBytes}
`,
      }),
    );
    const clients = stack.use(new Clients(staps.socket));
    return [staps, await clients.join(path), await clients.join(quietPath)];
  };
  const [node, sender, quietSender] = await start(proxy.port);
  const [, reader, quietReader] = await start(broker.port);
  return {
    sender,
    reader,
    quiet: { sender: quietSender, reader: quietReader },
    proxy,
    figures: async () =>
      readSamples((await ask(`${node.folder}/admin`, "/metrics")).text),
  };
}

/** Resolves when the sender is held, and nobody else: the outbox has room, and nothing was given up. */
async function held({ figures, quiet }: Pair): Promise<void> {
  const got = await eventually(async () => {
    const got = await figures();
    return got.get("staps_senders_held") === 1 ? got : undefined;
  }, "the sender to be held");
  const bytes = got.get("staps_bridge_outbox_bytes")!;
  assert.ok(
    bytes > outboxBytes / 32 && bytes < outboxBytes / 8,
    `${bytes} bytes in the outbox`,
  );
  assert.equal(got.get("staps_bridge_messages_dropped_total"), 0);
  const published = got.get("staps_bridge_messages_sent_total")!;
  quiet.sender.send("quiet");
  const after = await eventually(async () => {
    const after = await figures();
    return after.get("staps_bridge_messages_sent_total")! > published
      ? after
      : undefined;
  }, "the quiet message to be published");
  assert.equal(after.get("staps_senders_held"), 1);
}

/** Checks that all that was sent arrives, and that nobody is held any more. */
async function arrives(
  { sender, reader, quiet, figures }: Pair,
): Promise<void> {
  assert.deepEqual(await quiet.reader.take(1), ["quiet"]);
  assert.deepEqual(await reader.take(messages.length), messages);
  assert.ok(sender.isOpen);
  const got = await figures();
  assert.equal(got.get("staps_senders_held"), 0);
  assert.equal(got.get("staps_bridge_messages_dropped_total"), 0);
}

Deno.test("the brake of bridged channels", async (t) => {
  await using broker = await startBroker();

  await t.step("holds a sender while the broker is blocked", async () => {
    await using stack = new AsyncDisposableStack();
    const pair = await startPair(stack, broker, { slowAfterS: 600 });
    await broker.memoryAlarm(true);
    try {
      for (const message of messages) pair.sender.send(message);
      await held(pair);
    } finally {
      await broker.memoryAlarm(false);
    }
    await arrives(pair);
  });

  await t.step("holds a sender while the broker is away", async () => {
    await using stack = new AsyncDisposableStack();
    const pair = await startPair(stack, broker, { slowAfterS: 600 });
    pair.proxy.blackHole();
    pair.proxy.reset();
    for (const message of messages) pair.sender.send(message);
    await held(pair);
    pair.proxy.heal();
    await arrives(pair);
  });

  await t.step(
    "lets a sender go on after slow_after_s: messages are given up, and that is told",
    async () => {
      await using stack = new AsyncDisposableStack();
      const pair = await startPair(stack, broker, { slowAfterS: 1 });
      pair.proxy.blackHole();
      pair.proxy.reset();
      for (const message of messages) pair.sender.send(message);
      const { code } = await within(pair.sender.closed, "the sender's end");
      assert.equal(code, closes.gap.code);
      pair.quiet.sender.send("quiet");
      const got = await pair.figures();
      assert.ok(got.get("staps_sender_holds_total")! >= 1);
      // Some of a look's interval may be missing.
      assert.ok(got.get("staps_sender_held_seconds_total")! > 0.5);
      assert.equal(got.get("staps_senders_held"), 0);
      assert.ok(got.get("staps_bridge_messages_dropped_total")! > 0);
      pair.proxy.heal();
      const reader = await within(pair.reader.closed, "the reader's end");
      assert.equal(reader.code, closes.gap.code);
      assert.deepEqual(await pair.quiet.reader.take(1), ["quiet"]);
      assert.ok(pair.quiet.sender.isOpen);
    },
  );
});
