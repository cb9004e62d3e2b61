/**
 * The least that a program can do to send messages through RabbitMQ and get
 * them back: amqplib alone, one connection to publish and one to consume. What
 * the bridge is compared with, see `bench/bridge.ts`.
 */
import { Buffer } from "node:buffer";
import {
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  connect,
} from "amqplib";

/** What the loop does for its messages' safety. */
export type Safety =
  /** Nothing: no confirms, no acknowledgements, nothing on disk. */
  | "none"
  /** What the bridge does: durable, persistent, confirmed, acknowledged. */
  | "full";

/** Messages that go through a broker and come back. */
export interface Loop extends AsyncDisposable {
  /** Called for every message that comes back. */
  onMessage: (body: Uint8Array) => void;
  /** Publishes under one of the keys. */
  publish(key: number, body: Uint8Array): void;
}

const maxUnconfirmed = 2_000;

/** Starts a loop with `keys` routing keys at the broker `url`. */
export async function startLoop(
  url: string,
  { keys, safety }: { keys: number; safety: Safety },
): Promise<Loop> {
  const models: ChannelModel[] = [
    await connect(url, { noDelay: true }),
    await connect(url, { noDelay: true }),
  ];
  const full = safety === "full";
  const publisher: Channel | ConfirmChannel = full
    ? await models[0]!.createConfirmChannel()
    : await models[0]!.createChannel();
  const consumer = await models[1]!.createChannel();
  const exchange = `loop-${safety}`;
  await consumer.assertExchange(exchange, "direct", { durable: full });
  const { queue } = await consumer.assertQueue("", {
    durable: full,
    exclusive: !full,
    autoDelete: full,
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
      const buffer = Buffer.from(
        body.buffer as ArrayBuffer,
        body.byteOffset,
        body.byteLength,
      );
      const options = { deliveryMode: full ? 2 : 1 };
      isFull = !(full
        ? (publisher as ConfirmChannel).publish(
          exchange,
          `${key}`,
          buffer,
          options,
          confirmed,
        )
        : publisher.publish(exchange, `${key}`, buffer, options));
      if (full) unconfirmed++;
    }
  };
  const confirmed = (): void => {
    unconfirmed--;
    pump();
  };
  publisher.on("drain", () => {
    isFull = false;
    pump();
  });
  let unacked = 0;
  if (full) await consumer.prefetch(500);
  await consumer.consume(queue, (message) => {
    loop.onMessage(message!.content);
    if (full && ++unacked % 100 === 0) consumer.ack(message!, true);
  }, { noAck: !full });
  return loop;
}
