/**
 * Messages by POST on their way to the other nodes, and what became of them.
 *
 * Whoever posts wants to know whether anybody got it, and neither answer may be
 * wrong. So nodes tell: one that hands such a message to members says so to the
 * node that published it, by a `receipt`. That the broker put it into some queue
 * would not do: a queue outlives its node, and the binding of our own outlives
 * its members for a moment.
 *
 * That nobody is there, the broker shows: what no queue is bound for comes back
 * (`mandatory`). That is believed only some time after an outage: until then
 * other nodes may not be connected again, or may not have found out which of
 * their bindings the broker has lost.
 */
import { sleep, within } from "../common/timing.ts";
import type { Posted } from "../relay/bridge.ts";
import { channelKey } from "../relay/channel_hash.ts";
import type { Message } from "../relay/message.ts";
import type { Connector } from "./connector.ts";
import type { Numbered } from "./entry.ts";
import type { Memberships } from "./memberships.ts";
import type { Sender } from "./sender.ts";

/** How long to wait for confirm and receipt, in milliseconds. */
const answerMs = 5_000;
/** How long a channel that this node is leaving is waited for, and how often it is looked for; in milliseconds. */
const leaving = { timeoutMs: 2_000, lookMs: 20 } as const;
/** How long after an outage the broker isn't believed that nobody is there: the longest wait before the next try, several times. In milliseconds. */
const defaultSettleMs = 15_000;

/** What {@linkcode Posts} works with. */
export interface PostsOptions {
  readonly connector: Pick<Connector, "link">;
  readonly sender: Pick<Sender, "post">;
  readonly memberships: Pick<Memberships, "byPath">;
  /** {@linkcode defaultSettleMs} unless a test says otherwise. */
  readonly settleMs?: number | undefined;
}

/** A message whose answer is waited for. */
interface Waiting {
  /** Whether somebody on this node got it: then the confirm is enough. */
  readonly isReached: boolean;
  readonly settled: PromiseWithResolvers<void>;
  isConfirmed: boolean;
  isReturned: boolean;
  /** How many members got it on other nodes, as far as these have said. */
  members: number;
}

const notSent: Posted = {
  isConfirmed: false,
  reachedOthers: undefined,
  isGone: true,
};

/** The posted messages of one node. */
export class Posts {
  readonly #options: PostsOptions;
  /** By the number of the entry that they are in, see `outbox.ts`. */
  readonly #waiting = new Map<number, Waiting[]>();
  /** From when on the broker is believed that nobody is there. */
  #settledMs = -Infinity;

  constructor(options: PostsOptions) {
    this.#options = options;
  }

  /** Sends a message in the channel `path`; see {@linkcode Bridge.post}. Nothing is sent if that isn't possible now. */
  async post(
    path: string,
    message: Message,
    { isReached }: { isReached: boolean },
  ): Promise<Posted> {
    const { connector, sender } = this.#options;
    const channel = await this.#channelOf(path);
    const { link } = connector;
    if (link === undefined || link.blocked !== undefined) return notSent;
    const sequence = sender.post(channel, message);
    return sequence === undefined
      ? notSent
      : await this.#outcome(sequence, isReached);
  }

  /** The broker answers the entry `sequence`: whether all queues took it, or whether there was none. */
  answered(
    sequence: number,
    { isTaken, isReturned }: { isTaken: boolean; isReturned: boolean },
  ): void {
    for (const waiting of this.#waiting.get(sequence) ?? []) {
      waiting.isConfirmed = isTaken;
      waiting.isReturned = isReturned;
      if (waiting.isReached || isReturned || waiting.members > 0) {
        waiting.settled.resolve();
      }
    }
  }

  /** Another node says that it handed the entry `sequence` to so many members. */
  received(sequence: number, members: number): void {
    for (const waiting of this.#waiting.get(sequence) ?? []) {
      waiting.members += members;
      if (waiting.isConfirmed) waiting.settled.resolve();
    }
  }

  /** There is a connection. */
  connected(): void {
    if (this.#settledMs < Infinity) return;
    const { settleMs = defaultSettleMs } = this.#options;
    this.#settledMs = performance.now() + settleMs;
  }

  /** Ends every wait, as the connection was lost, or couldn't be had. */
  disconnected(): void {
    this.#settledMs = Infinity;
    for (const waiting of [...this.#waiting.values()].flat()) {
      waiting.settled.resolve();
    }
  }

  /** Gets what numbers the messages of the channel `path`. */
  async #channelOf(path: string): Promise<Numbered> {
    const { memberships } = this.#options;
    const endMs = performance.now() + leaving.timeoutMs;
    while (true) {
      const membership = memberships.byPath(path);
      // Nobody waits here for a channel that this node isn't in.
      if (membership === undefined) {
        return { key: channelKey(path), lastSequence: 0, lastSent: 0 };
      }
      // Until it is unbound, this node's own queue takes the message.
      if (membership.wanted || performance.now() > endMs) return membership;
      await sleep(leaving.lookMs);
    }
  }

  async #outcome(sequence: number, isReached: boolean): Promise<Posted> {
    const waiting: Waiting = {
      isReached,
      settled: Promise.withResolvers<void>(),
      isConfirmed: false,
      isReturned: false,
      members: 0,
    };
    const together = this.#waiting.get(sequence) ?? [];
    this.#waiting.set(sequence, [...together, waiting]);
    await within(waiting.settled.promise, answerMs);
    const others = this.#waiting.get(sequence)!
      .filter((each) => each !== waiting);
    if (others.length > 0) this.#waiting.set(sequence, others);
    else this.#waiting.delete(sequence);

    const { isConfirmed, isReturned, members } = waiting;
    const isNobody = isReturned && performance.now() >= this.#settledMs;
    return {
      isConfirmed,
      reachedOthers: members > 0 || (isNobody ? false : undefined),
      isGone: isReturned,
    };
  }
}
