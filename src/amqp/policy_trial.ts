/**
 * What the broker's policies do to exchange and queues, found out by trying: a
 * node's rights don't show policies, which an administrator may set at any time,
 * and which count beside a queue's own arguments.
 *
 * Two scratch queues are named like nodes' queues, so that the same policies
 * hold for them. One is filled and emptied at once, the other one keeps a
 * message for a while and is left alone. Everything is bounded, removed
 * afterwards, and expires by itself if that fails.
 */
import { Buffer } from "node:buffer";
import { sleep, within } from "../common/timing.ts";
import { answerWithin, toBrokerError } from "./broker_error.ts";
import {
  breakOff,
  connect,
  type Connections,
  type ConsumeMessage,
  type Endpoint,
} from "./connect.ts";
import { findQueue } from "./queue_search.ts";
import { onScratchChannel } from "./scratch_channel.ts";

/** Settings of {@linkcode tryPolicies}. */
export interface PolicyTrialOptions {
  readonly exchange: string;
  readonly heartbeatS: number;
  /** As the nodes' queues have it; without it, the virtual host's default. */
  readonly queueType?: "classic" | "quorum" | undefined;
}

/** What became of the messages that filled a queue. */
export interface Filling {
  readonly sent: number;
  /** How many the broker took. */
  readonly taken: number;
  /** How many of these came out. */
  readonly left: number;
  /** What is missing of those taken is the oldest. */
  readonly keepsNewest: boolean;
}

/** What was seen. */
export interface PolicyTrial {
  /** Whether a message with nowhere to go came back. */
  readonly isReturned: boolean;
  readonly filling: Filling;
  /** What became of a queue with a message that was left alone for {@linkcode restMsOf}. */
  readonly rest: "kept" | "message gone" | "queue gone" | "message rejected";
}

/**
 * How long a queue is left alone, in milliseconds: what is shorter of a TTL or
 * an expiry is found. A quorum queue looks only every 5 s from its declaration
 * on whether it has expired (`quorum_tick_interval`), and then it takes some
 * tenths of a second to go.
 */
const restMs = { classic: 3_000, quorum: 6_000 } as const;

/** At most so many messages fill a queue, of so many bytes, within so many milliseconds. */
export const fill = { messages: 10_000, bytes: 400, ms: 1_000 } as const;

/** So many are on their way to the broker at a time. */
const chunk = 500;

/** How long the broker may take for one step; and for the next message out of a queue. */
const stepMs = 5_000;
const nextMs = 1_000;

/** How long removing everything may take. */
const removeMs = 2_000;

/** If nothing else removes a scratch queue, this does. */
const expiresMs = 60_000;

/** Gets how long {@linkcode tryPolicies} leaves a queue alone, in milliseconds. */
export function restMsOf(
  { queueType = "classic" }: Pick<PolicyTrialOptions, "queueType">,
): number {
  return restMs[queueType];
}

/**
 * Tries what policies do, on connections of its own to a broker where the
 * exchange is. Takes {@linkcode restMsOf} and a second or two.
 *
 * @throws {BrokerError} If the broker doesn't let it.
 */
export async function tryPolicies(
  endpoint: Endpoint,
  options: PolicyTrialOptions,
): Promise<PolicyTrial> {
  const { heartbeatS } = options;
  const connections = await connect(endpoint, { heartbeatS, binderCount: 0 });
  const { sending, receiving, publisher, control } = connections;
  // Without a listener an error would end the process.
  for (const channel of [publisher, control]) channel.on("error", () => {});
  const full = new ScratchQueue(connections, options);
  const resting = new ScratchQueue(connections, options);
  try {
    await resting.declare();
    const restEndMs = performance.now() + restMsOf(options);
    const isKept = await resting.publish(0);
    await full.declare();
    const isReturned = await comesBack(connections, options);
    const filling = await full.fillAndEmpty();
    await sleep(restEndMs - performance.now());
    const rest = isKept ? await resting.look() : "message rejected";
    return { isReturned, filling, rest };
  } catch (error) {
    throw toBrokerError(error);
  } finally {
    await within(Promise.all([full.remove(), resting.remove()]), removeMs);
    breakOff(sending);
    breakOff(receiving);
  }
}

/** Tells whether a message that no queue is bound for is returned (AMQP 0-9-1, basic.publish, mandatory). */
async function comesBack(
  { publisher }: Connections,
  { exchange }: PolicyTrialOptions,
): Promise<boolean> {
  let isReturned = false;
  publisher.once("return", () => isReturned = true);
  const key = `node.${crypto.randomUUID()}`;
  // The answer comes right after the message.
  const answer = new Promise((resolve) =>
    publisher.publish(exchange, key, Buffer.alloc(0), {
      mandatory: true,
    }, resolve)
  );
  await answerWithin(answer, { timeoutMs: stepMs, what: "to take a message" });
  return isReturned;
}

/** A queue that policies take for a node's. */
class ScratchQueue {
  readonly #connections: Connections;
  readonly #options: PolicyTrialOptions;
  readonly #name: string;
  readonly #key: string;

  constructor(connections: Connections, options: PolicyTrialOptions) {
    this.#connections = connections;
    this.#options = options;
    const node = Buffer.from(crypto.getRandomValues(new Uint8Array(8)))
      .toString("hex");
    this.#name = `staps.node.${node}`;
    this.#key = `node.${node}`;
  }

  /** Makes it, with those arguments of a node's queue that policies can meet. */
  async declare(): Promise<void> {
    const { exchange, queueType } = this.#options;
    const made = onScratchChannel(
      this.#connections.receiving,
      async (channel) => {
        await channel.assertQueue(this.#name, {
          durable: true,
          arguments: {
            "x-expires": expiresMs,
            "x-overflow": "reject-publish",
            ...queueType && { "x-queue-type": queueType },
          },
        });
        await channel.bindQueue(this.#name, exchange, this.#key);
      },
    );
    await answerWithin(made, { timeoutMs: stepMs, what: "to make a queue" });
  }

  /** Publishes a message with a number, and gets whether the queue took it. */
  async publish(number: number): Promise<boolean> {
    const { exchange } = this.#options;
    const body = Buffer.alloc(fill.bytes);
    body.writeUInt32BE(number);
    const answer = new Promise<boolean>((resolve) =>
      this.#connections.publisher.publish(
        exchange,
        this.#key,
        body,
        {},
        (error) => resolve(!error),
      )
    );
    return await answerWithin(answer, {
      timeoutMs: stepMs,
      what: "to take a message",
    });
  }

  /** Fills it as far as that is allowed, and gets what came out of it. */
  async fillAndEmpty(): Promise<Filling> {
    const taken: number[] = [];
    let sent = 0;
    const endMs = performance.now() + fill.ms;
    while (sent < fill.messages && performance.now() < endMs) {
      const first = sent;
      const answers = await Promise.all(
        Array.from({ length: chunk }, () => this.publish(sent++)),
      );
      taken.push(
        ...answers.flatMap((isTaken, i) => isTaken ? [first + i] : []),
      );
    }
    const got = await this.#empty(taken.length);
    const missing = taken.filter((number) => !got.has(number));
    const oldestLeft = taken.find((number) => got.has(number)) ?? Infinity;
    return {
      sent,
      taken: taken.length,
      left: taken.length - missing.length,
      keepsNewest: missing.every((number) => number < oldestLeft),
    };
  }

  /** Gets the numbers of the messages in it, of which there should be `count`. */
  async #empty(count: number): Promise<Set<number>> {
    const got = new Set<number>();
    const all = Promise.withResolvers<true>();
    const take = (message: ConsumeMessage | null): void => {
      if (message) got.add(message.content.readUInt32BE());
      if (got.size === count) all.resolve(true);
    };
    if (count === 0) return got;
    await onScratchChannel(this.#connections.receiving, async (channel) => {
      await answerWithin(channel.consume(this.#name, take, { noAck: true }), {
        timeoutMs: stepMs,
        what: "to hand out a queue",
      });
      let before: number;
      do before = got.size; while (
        !await within(all.promise, nextMs) && got.size > before
      );
    });
    return got;
  }

  /** Tells what became of it and its only message. */
  async look(): Promise<PolicyTrial["rest"]> {
    const { receiving } = this.#connections;
    const state = await findQueue(receiving, this.#name, { timeoutMs: stepMs });
    if (state === "gone") return "queue gone";
    const message = await answerWithin(
      onScratchChannel(
        receiving,
        (channel) => channel.get(this.#name, { noAck: true }),
      ),
      { timeoutMs: stepMs, what: "to hand out a message" },
    );
    return message === false ? "message gone" : "kept";
  }

  /** Deletes it. Never rejects: it may never have been, and it expires. */
  async remove(): Promise<void> {
    await this.#connections.control.deleteQueue(this.#name).catch(() => {});
  }
}
