/**
 * What nodes tell each other of their numbers, so that a receiver knows of
 * every sender from which number on it has to hear everything, and learns of a
 * message that was lost although none follows it.
 *
 * - A node that joined a channel, or is connected again, says `hello` to all:
 *   here are my marks, see `marks.ts`.
 * - Whoever shares one of these channels answers that node with its own.
 * - Every few seconds a node sends the marks of the channels in which it sent
 *   something lately, `digest`.
 *
 * Marks go the same way as messages, so those before them have come before them.
 * But they come to a node whatever it is bound for: marks that were in its queue
 * before the binding say nothing of what it had to get, so a message to itself
 * has to come out of the queue first. One is sent before each `hello`.
 *
 * A mark that is higher than what came is a gap; one of a sender that wasn't heard
 * yet is where its messages begin.
 */
import type { Connector } from "./connector.ts";
import type { Envelope } from "./envelope.ts";
import {
  type Mark,
  maxMarks,
  prefixDigits,
  readMarks,
  writeMarks,
} from "./marks.ts";
import type { Membership } from "./membership.ts";
import type { Memberships } from "./memberships.ts";
import { nodeKey } from "./node_queue.ts";
import { everyNode } from "./outbox.ts";
import type { Probe } from "./probe.ts";
import type { Sender } from "./sender.ts";

/** How long joins are collected for one `hello`, in milliseconds. */
const helloMs = 100;
/** A digest is sent every so many ticks of a second. */
const digestTicks = 3;
/** In so many digests a channel stands after its last message: for a minute. */
const digestCount = 20;
/** So many channels stand in digests at most. */
const maxActive = 20_000;

/** What {@linkcode Numbers} works with. */
export interface NumbersOptions {
  readonly connector: Pick<Connector, "link">;
  readonly sender: Pick<Sender, "lastOf" | "publishNews">;
  readonly probe: Pick<Probe, "ask">;
  readonly memberships: Pick<
    Memberships,
    "bindAgain" | "byPrefix" | "isPastBinding" | "mayHaveLeftovers" | "wanted"
  >;
  /** Called when messages of a channel are missing. */
  readonly onGap: (membership: Membership) => void;
}

/** The exchange of numbers between one node and the others. */
export class Numbers {
  readonly #options: NumbersOptions;
  /** Channels that were joined, for the next `hello`. */
  readonly #joined = new Set<Membership>();
  #helloTimer: ReturnType<typeof setTimeout> | undefined;
  /** How many digests each channel is still to stand in. */
  readonly #active = new Map<Membership, number>();
  #ticks = 0;

  constructor(options: NumbersOptions) {
    this.#options = options;
  }

  /** This node is in the channel `membership` now. */
  joined(membership: Membership): void {
    this.#joined.add(membership);
    this.#helloTimer ??= setTimeout(() => this.#hello(), helloMs);
  }

  /** This node sends something in the channel `membership`. */
  sent(membership: Membership): void {
    if (this.#active.size < maxActive || this.#active.has(membership)) {
      this.#active.set(membership, digestCount);
    }
  }

  /** There is a connection: what was missed meanwhile has to be found. */
  connected(): void {
    for (const membership of this.#options.memberships.wanted()) {
      if (membership.state === "bound") this.joined(membership);
    }
  }

  /** Stops, after the connection was lost. */
  disconnected(): void {
    clearTimeout(this.#helloTimer);
    this.#helloTimer = undefined;
    this.#joined.clear();
  }

  /** To be called about once a second. */
  tick(): void {
    if (++this.#ticks % digestTicks !== 0) return;
    const marks = this.#marksOf(this.#active.keys());
    if (!this.#tell("digest", everyNode, marks)) return;
    for (const [membership, count] of this.#active) {
      if (count > 1) this.#active.set(membership, count - 1);
      else this.#active.delete(membership);
    }
  }

  /** Takes another node's marks. */
  heard({ kind, node }: Envelope, body: Uint8Array<ArrayBuffer>): void {
    const { memberships, onGap } = this.#options;
    const shared: Membership[] = [];
    for (const { prefix, last } of readMarks(body)) {
      const membership = memberships.byPrefix(prefix);
      if (!membership?.wanted) continue;
      shared.push(membership);
      if (!memberships.isPastBinding(membership)) continue;
      const mayBeLeftover = memberships.mayHaveLeftovers(membership);
      const verdict = membership.tracker.mark(node, { last, mayBeLeftover });
      if (verdict === "next") continue;
      onGap(membership);
      // Nothing shows why; its binding may be gone.
      memberships.bindAgain(membership);
    }
    if (kind === "hello") {
      this.#tell("digest", nodeKey(node), this.#marksOf(shared));
    }
  }

  #hello(): void {
    this.#helloTimer = undefined;
    const { connector: { link }, probe } = this.#options;
    if (!link) return;
    if (!link.isReady) {
      // It takes nothing more for now.
      this.#helloTimer = setTimeout(() => this.#hello(), helloMs);
      return;
    }
    const marks = this.#marksOf(this.#joined);
    this.#joined.clear();
    probe.ask(link);
    this.#tell("hello", everyNode, marks);
  }

  #marksOf(channels: Iterable<Membership>): Mark[] {
    const marks: Mark[] = [];
    for (const membership of channels) {
      const last = this.#options.sender.lastOf(membership);
      // What waits to be sent again comes behind this.
      if (last === undefined || !membership.wanted) continue;
      marks.push({ prefix: membership.key.slice(0, prefixDigits), last });
    }
    return marks;
  }

  /** Sends `marks`. Gets whether that was possible. */
  #tell(kind: "hello" | "digest", key: string, marks: Mark[]): boolean {
    const { connector: { link }, sender } = this.#options;
    for (let at = 0; at < marks.length; at += maxMarks) {
      if (!link?.isReady) return false;
      const body = writeMarks(marks.slice(at, at + maxMarks));
      sender.publishNews(link, { kind, key, body });
    }
    return true;
  }
}
