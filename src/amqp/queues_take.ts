/**
 * Waits until the other nodes' quorum queues take what a new connection
 * publishes.
 *
 * The first message of a connection to a quorum queue whose leader has just
 * died is rejected by RabbitMQ 3.10, although the queue isn't full, and the
 * next one may be taken: a gap where nothing was lost. Once a queue has taken
 * one, the broker itself sends again what a new leader didn't get. So the first
 * one is a message that nobody needs, to every node.
 *
 * Where 3.10 doesn't know the new leader yet, it goes on asking the dead one for
 * as long as the connection lasts: it rejects everything for that queue, or
 * answers nothing, and ends the connection 20 s later (541). On another
 * connection it asks the next one.
 */
import { sleep, within } from "../common/timing.ts";
import type { Link } from "./link.ts";
import { everyNode } from "./outbox.ts";
import type { Sender } from "./sender.ts";

/** How long it is tried where a queue rejects it. */
const patienceMs = 3_000;

/** How long an answer may take. */
const answerMs = 2_000;

/** How long it takes until the next try. */
const retryMs = 100;

/**
 * Resolves when every node's queue has taken a message from `link`, or the link
 * is gone. Gets `false` if there was no answer, or a queue has rejected it for a
 * while: it may be full, or take what comes on another connection.
 */
export async function queuesTake(
  link: Pick<Link, "isReady" | "down">,
  sender: Pick<Sender, "publishProbe">,
): Promise<boolean> {
  const endMs = performance.now() + patienceMs;
  const down = link.down.then(() => true);
  // A broker that is short of memory or disk takes nothing for now.
  while (link.isReady) {
    const answer = Promise.withResolvers<boolean>();
    sender.publishProbe(link as Link, {
      key: everyNode,
      // No node's message to itself has this number.
      number: 0,
      mandatory: false,
      onAnswer: answer.resolve,
    });
    const isTaken = await within(
      Promise.race([answer.promise, down]),
      answerMs,
    );
    if (isTaken === undefined) return !link.isReady;
    if (isTaken) return true;
    if (performance.now() + retryMs > endMs) return false;
    await sleep(retryMs);
  }
  return true;
}
