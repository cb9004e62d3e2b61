/**
 * The least that a program can do to send messages through RabbitMQ and get
 * them back: amqplib alone, one connection to publish and one to consume. What
 * the bridge is compared with, see `bench/bridge.ts`.
 */
import { Buffer } from "node:buffer";
import { connect } from "amqplib";

/** Messages that go through a broker and come back. */
export interface Loop extends AsyncDisposable {
  /** Called for every message that comes back. */
  onMessage: (body: Uint8Array) => void;
  /** Publishes under one of the keys. */
  publish(key: number, body: Uint8Array): void;
}

const maxUnconfirmed = 2_000;

/**
 * Starts a loop with `keys` routing keys at the broker `url`. A safe one does
 * what the bridge does: durable, persistent, confirmed, acknowledged.
 */
export async function startLoop(
  url: string,
  { keys, isSafe }: { keys: number; isSafe: boolean },
): Promise<Loop> {
  const models = [
    await connect(url, { noDelay: true }),
    await connect(url, { noDelay: true }),
  ] as const;
  const publisher = isSafe
    ? await models[0].createConfirmChannel()
    : await models[0].createChannel();
  const consumer = await models[1].createChannel();
  const exchange = `loop-${isSafe}`;
  await consumer.assertExchange(exchange, "direct", { durable: isSafe });
  const { queue } = await consumer.assertQueue("", {
    durable: isSafe,
    exclusive: !isSafe,
    autoDelete: isSafe,
  });
  for (let key = 0; key < keys; key++) {
    await consumer.bindQueue(queue, exchange, `${key}`);
  }
  const loop: Loop = {
    onMessage: () => {},
    publish(key, body): void {
      waiting.push([key, body]);
      pump();
    },
    async [Symbol.asyncDispose](): Promise<void> {
      for (const model of models) await model.close();
    },
  };
  const waiting: [number, Uint8Array][] = [];
  let next = 0;
  let isFull = false;
  let unconfirmed = 0;
  const pump = (): void => {
    while (next < waiting.length && !isFull && unconfirmed < maxUnconfirmed) {
      const [key, body] = waiting[next++]!;
      const buffer = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
      if (isSafe) unconfirmed++;
      isFull = !publisher.publish(exchange, `${key}`, buffer, {
        deliveryMode: isSafe ? 2 : 1,
      }, confirmed);
    }
  };
  /** Called where there are confirms. */
  const confirmed = (): void => {
    unconfirmed--;
    pump();
  };
  publisher.on("drain", () => {
    isFull = false;
    pump();
  });
  let unacked = 0;
  if (isSafe) await consumer.prefetch(500);
  await consumer.consume(queue, (message) => {
    loop.onMessage(message!.content);
    if (isSafe && ++unacked % 100 === 0) consumer.ack(message!, true);
  }, { noAck: !isSafe });
  return loop;
}
