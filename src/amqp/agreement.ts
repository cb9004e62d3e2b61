/**
 * Joins in a cluster of brokers: a client gets its 101 when the other nodes'
 * messages reach this node, and not only when the broker has confirmed the
 * binding.
 *
 * The broker confirms a binding before the other brokers of the cluster route
 * by it, which takes them some hundredths of a second, or more while one of them
 * is lost. What a node publishes there in the meantime doesn't come here, and
 * as long as nothing is known of its numbers, nothing shows that. So whoever
 * joins channels asks all other nodes (`ask`, with the channels' routing keys),
 * and every one of them replies with
 *
 * - an `answer` to this node: the number up to which it has sent everything, so
 *   that whatever is lost behind it is noticed (see `tracker.ts`);
 * - an `echo` in each of the channels: where that comes, its broker routes by
 *   the binding, and nothing is lost any more. Where it doesn't come, the node
 *   is asked again.
 *
 * The wait is bounded. A node that hasn't answered by then, or isn't heard, may
 * have sent something after it that clients here had to get. It is asked as soon
 * as it is heard; see `late_asks.ts`.
 *
 * One broker routes by a binding when it has confirmed it: nobody asks there.
 */
import { within } from "../common/timing.ts";
import { Ask, maxAsked, readAnswer, writeQuestion } from "./ask.ts";
import type { Connector } from "./connector.ts";
import type { Envelope } from "./envelope.ts";
import { LateAsks } from "./late_asks.ts";
import type { Membership } from "./membership.ts";
import type { Memberships } from "./memberships.ts";
import { nodeKey } from "./node_queue.ts";
import { everyNode } from "./outbox.ts";
import type { Peers } from "./peers.ts";
import type { Probe } from "./probe.ts";
import type { Sender } from "./sender.ts";
import type { Tracker } from "./tracker.ts";

/** How long joins are collected for one question, in milliseconds. */
const collectMs = 3;

/** How long the first wait for an answer is, in milliseconds; each further one is twice as long. */
const retryMs = 100;

/** What {@linkcode Agreement} works with. */
export interface AgreementOptions {
  /** This node's name. */
  readonly node: string;
  /** Whether there may be several brokers. */
  readonly isCluster: boolean;
  /** How long a join waits for the other nodes at most, in milliseconds. */
  readonly waitMs: number;
  readonly connector: Pick<Connector, "link">;
  readonly sender: Pick<Sender, "publishNews" | "sentUpTo">;
  readonly probe: Pick<Probe, "ask">;
  readonly peers: Pick<Peers, "areKnown" | "hearsMs" | "present">;
  readonly memberships: Pick<Memberships, "wanted">;
  /** Called when messages of a channel are missing, or may be. */
  readonly onGap: (membership: Membership, reason: string) => void;
}

/** The questions of one node. */
export class Agreement {
  /** See {@linkcode BridgeState}. */
  readonly counts = { unanswered: 0 };
  readonly #options: AgreementOptions;
  /** Those that joins wait for, by number. */
  readonly #asks = new Map<number, Ask>();
  readonly #late: LateAsks;
  /** The question for each channel, as long as it is joined; `undefined`: there was none to ask. */
  readonly #byTracker = new WeakMap<Tracker, Ask | undefined>();
  /** The one that channels are collected for. */
  #next: Ask | undefined;
  #collecting: ReturnType<typeof setTimeout> | undefined;
  #latest = 0;

  constructor(options: AgreementOptions) {
    this.#options = options;
    this.#late = new LateAsks(options);
  }

  /** Resolves when a join of this channel, which is bound, may succeed; `undefined`: at once. Never rejects. */
  reach(membership: Membership): Promise<void> | undefined {
    const { isCluster, connector: { link } } = this.#options;
    const { tracker, wanted } = membership;
    // Those who were told that the binding had been lost may have left.
    if (!isCluster || !link || !wanted) return undefined;
    if (this.#byTracker.has(tracker)) {
      return this.#byTracker.get(tracker)?.over.promise;
    }
    // While the broker takes nothing from anybody, nothing is lost.
    if (link.blocked !== undefined) {
      this.#byTracker.set(tracker, undefined);
      return undefined;
    }
    const ask = this.#next ?? this.#collect();
    this.#byTracker.set(tracker, ask);
    ask.add(membership);
    if (ask.size >= maxAsked) this.#start(ask);
    return ask.over.promise;
  }

  /** A question of this node came out of its own queue. */
  returned(number: number): void {
    const ask = this.#asks.get(number);
    if (!ask) return;
    ask.isBack = true;
    this.#check(ask);
  }

  /** Another node answers. */
  answered(
    { node, sequence: number }: Envelope,
    body: Uint8Array<ArrayBuffer>,
  ): void {
    const answer = readAnswer(body);
    if (!answer) return;
    const ask = this.#asks.get(number);
    if (!ask) return this.#late.answered(node, number, answer);
    const { last } = answer;
    if (!ask.answer(node, last)) return;
    // What it sent before concerns nobody.
    for (const { tracker } of ask.joined()) tracker.begin(node, last);
    this.#check(ask);
  }

  /** Something that another node sent for an `ask` came back through the binding of a channel, for `key`. */
  echoed(
    { node, sequence: number }: Envelope,
    key: string,
    body: Uint8Array<ArrayBuffer>,
  ): void {
    const ask = this.#asks.get(number);
    // All members of the channel get it.
    if (!ask || new TextDecoder().decode(body) !== this.#options.node) return;
    ask.echo(node, key);
    this.#check(ask);
  }

  /** A node is heard again that was connected first at `startMs`: joins since then that didn't wait for it may have missed something. */
  nodeReturned(node: string, startMs: number): void {
    const asks = new Set<Ask>();
    for (const { tracker } of this.#options.memberships.wanted()) {
      const ask = this.#byTracker.get(tracker);
      if (ask?.endedAfter(startMs) && !ask.isAnsweredBy(node)) asks.add(ask);
    }
    for (const ask of asks) this.#late.add(ask, [node]);
    this.#late.ask(node);
  }

  /** Ends all waits, as the connection was lost: so do the joins. */
  disconnected(): void {
    if (this.#next) this.#start(this.#next);
    for (const ask of this.#asks.values()) ask.complete.resolve(true);
    this.#late.disconnected();
  }

  /** To be called about once a second. */
  tick(): void {
    this.#late.tick();
  }

  /** Makes a question, which goes out when the joins of this moment are in it. */
  #collect(): Ask {
    const ask = new Ask(++this.#latest, this.#options.sender.sentUpTo);
    this.#next = ask;
    this.#collecting = setTimeout(() => this.#start(ask), collectMs);
    return ask;
  }

  #start(ask: Ask): void {
    clearTimeout(this.#collecting);
    this.#next = undefined;
    this.#asks.set(ask.number, ask);
    void this.#run(ask);
  }

  /** Asks until all have answered, or joins have waited long enough. */
  async #run(ask: Ask): Promise<void> {
    const { connector, probe, waitMs } = this.#options;
    const { link } = connector;
    // Shows where what came before the binding ends.
    if (link?.isReady) probe.ask(link);
    this.#send(ask, [everyNode]);
    this.#check(ask);
    const endMs = performance.now() + waitMs;
    let stepMs = retryMs;
    let isOver: true | undefined;
    while (!isOver) {
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) break;
      isOver = await within(ask.complete.promise, Math.min(stepMs, leftMs));
      this.#check(ask);
      stepMs *= 2;
      // One sent when joins succeed could be overtaken by what is sent after them.
      if (isOver || performance.now() >= endMs) continue;
      if (!connector.link?.isReady) continue;
      this.#send(ask, this.#missing(ask).map(nodeKey));
    }
    if (!isOver) this.counts.unanswered += ask.size;
    this.#asks.delete(ask.number);
    const late = this.#missing(ask);
    for (const { tracker } of ask.joined()) {
      // Of what came between its number and now, nobody had to get anything.
      for (const node of late) tracker.reopen(node);
    }
    ask.end();
    this.#late.add(ask, late);
  }

  /** Takes note of whether it is answered. */
  #check(ask: Ask): void {
    if (this.#isComplete(ask)) ask.complete.resolve(true);
  }

  /** Whether everybody who is there has answered, and is heard in every channel. */
  #isComplete(ask: Ask): boolean {
    const { peers } = this.#options;
    if (!peers.areKnown) return false;
    const isAlone = peers.present.length === 0;
    return this.#missing(ask).length === 0 && (isAlone || ask.isBack);
  }

  /** Gets those that are waited for. */
  #missing(ask: Ask): string[] {
    return this.#options.peers.present
      .filter((node) => !ask.isReached(node));
  }

  #send({ number: sequence, keys, since }: Ask, to: readonly string[]): void {
    const { connector: { link }, sender } = this.#options;
    const body = writeQuestion({ keys, ageMs: 0 });
    for (const key of to) {
      if (!link?.isReady) return;
      const news = { kind: "ask", key, body, sequence } as const;
      sender.publishNews(link, {
        ...news,
        since: Math.min(since, sender.sentUpTo),
      });
    }
  }
}
