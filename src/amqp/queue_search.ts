/**
 * Whether a queue is still there, and what can be done if it isn't: on channels
 * of their own, so that neither a late answer nor one that ends the channel does
 * any harm.
 *
 * A classic queue is on one broker of a cluster. What the others say of it
 * while that one is gone depends on version and circumstances:
 *
 * | RabbitMQ | its broker was | the answer                                            |
 * | -------- | -------------- | ----------------------------------------------------- |
 * | 3.10     | killed, stopped | 404 "home node … is down or inaccessible", at once   |
 * | 4.0      | stopped        | 404 "process is stopped by supervisor", at once       |
 * | 4.0      | killed         | 404 "failed to perform operation … timeout", in 76 s  |
 *
 * So only what is known to mean "there" and "gone" is taken for that.
 */
import { within } from "../common/timing.ts";
import { answerWithin, replyCodes, toBrokerError } from "./broker_error.ts";
import type { Connection } from "./connect.ts";
import { onScratchChannel } from "./scratch_channel.ts";

/** What became of a queue; `away`: the brokers that are there can't reach it. */
export type QueueState = "there" | "gone" | "away";

/** Settings of {@linkcode findQueue}. */
export interface FindQueueOptions {
  /** How long the answer may take. */
  readonly timeoutMs: number;
}

/** How long a broker may take for an answer that needs no queue, which shows that the broker itself is well. */
const lifeSignMs = 2_000;

/** How long an answer may take after that, as it may have been right behind. */
const graceMs = 500;

/**
 * Tells whether the queue `name` exists.
 *
 * @throws {BrokerError} If the broker refuses to tell, or is silent itself.
 */
export async function findQueue(
  connection: Connection,
  name: string,
  { timeoutMs }: FindQueueOptions,
): Promise<QueueState> {
  const answer = ask(connection, name);
  const state = await within(answer, timeoutMs);
  if (state === "there" || state === "gone") return state;
  // It is the queue that is away only if the broker isn't.
  const lifeSign = onScratchChannel(connection, () => Promise.resolve());
  await answerWithin(lifeSign, { timeoutMs: lifeSignMs, what: "to answer" });
  return await within(answer, graceMs) ?? "away";
}

/**
 * Gets how many consume the queue `name`, those that wait for their turn
 * included; `undefined` if that can't be told.
 */
export async function countConsumers(
  connection: Connection,
  name: string,
  { timeoutMs }: FindQueueOptions,
): Promise<number | undefined> {
  const count = onScratchChannel(
    connection,
    async (channel) => (await channel.checkQueue(name)).consumerCount,
  );
  return await within(count.catch(() => undefined), timeoutMs);
}

/**
 * Ends the bindings of a queue that is away, as far as that can be: never
 * rejects. RabbitMQ 4.0 rejects what is routed to such a queue, for all others
 * that it goes to as well; 3.10 doesn't, and can't unbind it.
 */
export async function unbindAway(
  connection: Connection,
  { queue, exchange, keys }: {
    queue: string;
    exchange: string;
    keys: Iterable<string>;
  },
): Promise<void> {
  try {
    await onScratchChannel(connection, async (channel) => {
      for (const key of keys) await channel.unbindQueue(queue, exchange, key);
    });
  } catch {
    // It expires when its broker is back.
  }
}

/**
 * Deletes a queue that was given up if it is there again. Never rejects. Gets
 * whether it is gone. One that is away can't be deleted: RabbitMQ 4.0 breaks
 * the connection off.
 */
export async function deleteIfThere(
  connection: Connection,
  name: string,
  options: FindQueueOptions,
): Promise<boolean> {
  try {
    const state = await findQueue(connection, name, options);
    if (state === "away") return false;
    if (state === "gone") return true;
    await onScratchChannel(connection, (channel) => channel.deleteQueue(name));
    return true;
  } catch {
    return false;
  }
}

async function ask(connection: Connection, name: string): Promise<QueueState> {
  try {
    await onScratchChannel(connection, (channel) => channel.checkQueue(name));
    return "there";
  } catch (thrown) {
    const error = toBrokerError(thrown);
    const { code } = error.detail;
    if (code === replyCodes.accessRefused) throw error;
    const isGone = code === replyCodes.notFound &&
      /no queue/.test(error.message);
    return isGone ? "gone" : "away";
  }
}
