/**
 * The brake of bridged channels: while the broker takes too little, whoever
 * publishes much is held, for at most `slow_after_s`, and whoever publishes
 * little notices nothing. With real nodes and a real RabbitMQ.
 */
import assert from "node:assert/strict";
import { closes } from "../../src/relay/close.ts";
import { type Broker, startBroker } from "../../tools/broker.ts";
import { eventually, within } from "../../tools/eventually.ts";
import { FaultyProxy } from "../../tools/faulty_proxy.ts";
import { type Staps, startStaps } from "../../tools/process.ts";
import { type Client, Clients } from "../../tools/ws_client.ts";
import { ask, readSamples } from "../helpers/admin.ts";
import { newPath } from "../helpers/shared_staps.ts";

const KiB = 1024;
const outboxBytes = 256 * KiB;

/** What is sent at once: far more than the outbox takes. */
const messages = Array.from(
  { length: 4_000 },
  (_, i) => `${i} `.padEnd(KiB, "x"),
);

/** Two nodes, two clients of each, and the network between the first node and the broker. */
interface Setting {
  readonly near: Staps;
  readonly proxy: FaultyProxy;
  /** Somebody on the first node who publishes much, and who reads that on the second. */
  readonly loud: readonly [sender: Client, reader: Client];
  /** The same in another channel, where little is said. */
  readonly quiet: readonly [sender: Client, reader: Client];
}

async function start(
  stack: AsyncDisposableStack,
  broker: Broker,
  slowAfterS: number,
): Promise<Setting> {
  const vhost = await broker.addVhost();
  const proxy = stack.use(await FaultyProxy.start(broker.port));
  const startNode = async (port: number): Promise<[Staps, Clients]> => {
    const config = `
[staps]
amqp = ${broker.url(vhost, { port })}
[admin]
socket = ~/admin
[limits]
message_bytes = 64K
slow_after_s = ${slowAfterS}
[bridge]
outbox_bytes = ${outboxBytes}
`;
    const staps = stack.use(await startStaps({ config }));
    return [staps, stack.use(new Clients(staps.socket))];
  };
  const [near, here] = await startNode(proxy.port);
  const [, there] = await startNode(broker.port);
  const meet = async (path: string): Promise<[Client, Client]> => [
    await here.join(path),
    await there.join(path),
  ];
  const [loud, quiet] = [await meet(newPath()), await meet(newPath())];
  return { near, proxy, loud, quiet };
}

/** Gets a metric of the senders' node. */
async function figure({ near }: Setting, name: string): Promise<number> {
  const { text } = await ask(`${near.folder}/admin`, "/metrics");
  return readSamples(text).get(`staps_${name}`)!;
}

/** Resolves when the loud sender is held, and nobody else: the outbox has room, and nothing was given up. */
async function held(setting: Setting): Promise<void> {
  await eventually(
    async () => await figure(setting, "senders_held") === 1,
    "the sender to be held",
  );
  const bytes = await figure(setting, "bridge_outbox_bytes");
  assert.ok(
    bytes > outboxBytes / 32 && bytes < outboxBytes / 8,
    `${bytes} bytes in the outbox`,
  );
  assert.equal(await figure(setting, "bridge_messages_dropped_total"), 0);
  const sent = await figure(setting, "bridge_messages_sent_total");
  setting.quiet[0].send("quiet");
  await eventually(
    async () => await figure(setting, "bridge_messages_sent_total") > sent,
    "the quiet message to be published",
  );
  assert.equal(await figure(setting, "senders_held"), 1);
}

/** Checks that all that was sent arrives, and that nobody is held any more. */
async function arrives(setting: Setting): Promise<void> {
  const { loud: [sender, reader], quiet } = setting;
  assert.deepEqual(await quiet[1].take(1), ["quiet"]);
  assert.deepEqual(await reader.take(messages.length), messages);
  assert.ok(sender.isOpen);
  assert.equal(await figure(setting, "senders_held"), 0);
  assert.equal(await figure(setting, "bridge_messages_dropped_total"), 0);
}

function sendAll({ loud: [sender] }: Setting): void {
  for (const message of messages) sender.send(message);
}

function cutOff({ proxy }: Setting): void {
  proxy.blackHole();
  proxy.reset();
}

Deno.test("the brake of bridged channels", async (t) => {
  await using broker = await startBroker();
  await using stack = new AsyncDisposableStack();
  const patient = await start(stack, broker, 600);

  await t.step("holds a sender while the broker is blocked", async () => {
    await broker.memoryAlarm(true);
    try {
      sendAll(patient);
      await held(patient);
    } finally {
      await broker.memoryAlarm(false);
    }
    await arrives(patient);
  });

  await t.step("holds a sender while the broker is away", async () => {
    cutOff(patient);
    sendAll(patient);
    await held(patient);
    patient.proxy.heal();
    await arrives(patient);
  });

  await t.step(
    "lets a sender go on after slow_after_s: messages are given up, and that is told",
    async () => {
      const setting = await start(stack, broker, 1);
      const { loud: [sender, reader], quiet, proxy } = setting;
      cutOff(setting);
      sendAll(setting);
      const { code } = await within(sender.closed, "the sender's end");
      assert.equal(code, closes.gap.code);
      quiet[0].send("quiet");
      assert.ok(await figure(setting, "sender_holds_total") >= 1);
      // Some of a look's interval may be missing.
      assert.ok(await figure(setting, "sender_held_seconds_total") > 0.5);
      assert.equal(await figure(setting, "senders_held"), 0);
      assert.ok(await figure(setting, "bridge_messages_dropped_total") > 0);
      proxy.heal();
      const end = await within(reader.closed, "the reader's end");
      assert.equal(end.code, closes.gap.code);
      assert.deepEqual(await quiet[1].take(1), ["quiet"]);
      assert.ok(quiet[0].isOpen);
    },
  );
});
