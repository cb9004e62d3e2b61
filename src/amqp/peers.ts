/**
 * Who the other nodes are, so that a node sees when it is cut off from them
 * although its broker works: the brokers of a cluster may be split, each with
 * some of the nodes, and messages to oneself come back on either side.
 *
 * Every few seconds a node tells all others that it is there, the name of its
 * queue, and how long ago it was connected first; and that it goes, when it does.
 * One that is connected anew asks them to say so at once. A node that hears
 * nobody of those that were there asks the broker for their queues: a queue that
 * is there or deleted is of a node that died, one that can't be reached is behind
 * a split.
 *
 * Whoever joins while a node isn't heard doesn't wait for it, and may miss what
 * it sends on its side of the split. So `onReturn` tells when it is heard again.
 */
import type { Connector } from "./connector.ts";
import type { Envelope } from "./envelope.ts";
import type { Link } from "./link.ts";
import { nodeKey } from "./node_queue.ts";
import { everyNode } from "./outbox.ts";
import type { Sender } from "./sender.ts";

/** A node says that it is there every so many ticks of a second. */
const aliveTicks = 5;

/** Whoever wasn't heard for so long isn't waited for, in milliseconds: that is once in vain. */
const presentMs = 10_000;

/** How long the others have to say that they are there, in milliseconds. */
const introductionMs = 90;

/** Nobody was heard for so many ticks: that is four times in vain. */
const silentTicks = 20;

/** Whoever wasn't heard for so long is forgotten, in milliseconds. */
const rememberMs = 300_000;

/** So many nodes are remembered at most, the latest ones. */
const maxPeers = 1_000;

/** So many of their queues are asked for at a time, every so many ticks: an answer may take long. */
const maxAsked = 3;
const askTicks = 15;

/** The body of an `alive` isn't longer: a queue's name, a blank, and milliseconds. */
const maxBodyBytes = 150;

/** What the first number of an `alive` says: that its node answers asks, or even gets messages at the moment. */
const answersAsks = 1;
const hearsMessages = 2;
/** What the second one says: that the node wants to hear who else is there. */
const wantsReply = 1;

/** What {@linkcode Peers} works with. */
export interface PeersOptions {
  readonly connector: Pick<Connector, "link">;
  readonly sender: Pick<Sender, "publishNews">;
  /** The name of this node's queue. */
  readonly queue: () => string;
  /** Whether messages come out of it. */
  readonly hears: () => boolean;
  /** Called when a node is heard that wasn't {@linkcode Peers.present}, with when it was connected first. */
  readonly onReturn: (node: string, startMs: number) => void;
}

/** Another node. */
interface Peer {
  readonly queue: string;
  /** When it was connected first: before, it can't have sent anything. */
  readonly startMs: number;
  heardMs: number;
  /** When it last said that it gets messages. */
  readonly hearsMs: number;
  /** Whether it answers when somebody joins, see `agreement.ts`; older nodes don't. */
  readonly answers: boolean;
}

/** The other nodes, as far as this one hears them. */
export class Peers {
  readonly #options: PeersOptions;
  /** By name, those heard last at the end. */
  readonly #peers = new Map<string, Peer>();
  #ticks = 0;
  /** How many ticks in a row nobody was heard. */
  #silentTicks = 0;
  #isAsking = false;
  #isCutOff = false;
  /** When this node was connected first. */
  #startMs: number | undefined;
  #connectedMs = 0;
  /** Whether the others were told that this node gets messages. */
  #saidHears = false;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  /** How many other nodes were there in the last minutes, and didn't say that they go. */
  get size(): number {
    return this.#peers.size;
  }

  /** Whether none of them can be heard, and their queues can't be reached. */
  get isCutOff(): boolean {
    return this.#isCutOff;
  }

  /** Whether all that are there have had the time to say so. */
  get areKnown(): boolean {
    return performance.now() - this.#connectedMs >= introductionMs;
  }

  /** The nodes that were heard lately and answer when somebody joins. */
  get present(): string[] {
    const sinceMs = performance.now() - presentMs;
    return [...this.#peers].flatMap(([node, { answers, heardMs }]) =>
      answers && heardMs > sinceMs ? [node] : []
    );
  }

  /** When `node` said last that it gets messages; `undefined` if it has gone, or was forgotten. */
  hearsMs(node: string): number | undefined {
    return this.#peers.get(node)?.hearsMs;
  }

  /** Something of another node came, whatever it was. */
  noticed(node: string): void {
    const peer = this.#peers.get(node);
    if (!peer) return;
    this.#silentTicks = 0;
    this.#isCutOff = false;
    const nowMs = performance.now();
    const isBack = nowMs - peer.heardMs >= presentMs;
    peer.heardMs = nowMs;
    if (isBack && peer.answers) this.#options.onReturn(node, peer.startMs);
  }

  /** Another node says that it is there, or goes. {@linkcode noticed} comes first. */
  heard(
    { kind, node, sequence, since }: Envelope,
    body: Uint8Array<ArrayBuffer>,
  ): void {
    const known = this.#peers.get(node);
    this.#peers.delete(node);
    this.#silentTicks = 0;
    this.#isCutOff = false;
    if (kind === "bye" || body.length > maxBodyBytes) return;
    const [queue, runMs] = new TextDecoder().decode(body).split(" ");
    const heardMs = performance.now();
    // Older nodes don't tell.
    const startMs = heardMs - (Number(runMs) || 0);
    const hears = sequence >= hearsMessages;
    const answers = sequence >= answersAsks;
    this.#peers.set(node, {
      queue: queue!,
      startMs,
      heardMs,
      hearsMs: hears ? heardMs : known?.hearsMs ?? -Infinity,
      answers,
    });
    const [oldest] = this.#peers.keys();
    if (this.#peers.size > maxPeers) this.#peers.delete(oldest!);
    // It is new, or was forgotten, or this node came while it wasn't heard.
    if (!known && answers) this.#options.onReturn(node, startMs);
    const { link } = this.#options.connector;
    if (since === wantsReply && link) {
      this.#tell(link, { kind: "alive", key: nodeKey(node) });
    }
  }

  /** Tells the others that this node is there, on `link`, which is new. */
  connected(link: Link): void {
    this.#silentTicks = 0;
    this.#isCutOff = false;
    this.#connectedMs = performance.now();
    this.#startMs ??= this.#connectedMs;
    this.#tell(link, { kind: "alive", since: wantsReply });
  }

  /** Tells the others that this node goes. */
  leave(link: Link): void {
    this.#tell(link, { kind: "bye" });
  }

  /** To be called about once a second. */
  tick(link: Link): void {
    this.#ticks++;
    const isNews = this.#options.hears() && !this.#saidHears;
    if (isNews || this.#ticks % aliveTicks === 0) {
      this.#tell(link, { kind: "alive" });
    }
    const forgetMs = performance.now() - rememberMs;
    for (const [node, { heardMs }] of this.#peers) {
      if (heardMs < forgetMs) this.#peers.delete(node);
    }
    if (this.#peers.size === 0) this.#isCutOff = false;
    // Nobody can be heard while the broker takes nothing from anybody.
    if (link.blocked !== undefined) this.#silentTicks = 0;
    if (++this.#silentTicks <= silentTicks || this.#peers.size === 0) return;
    if (this.#silentTicks % askTicks === 0) void this.#ask(link);
  }

  /** Finds out whether those that aren't heard died, or can't be reached. */
  async #ask(link: Link): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const latest = [...this.#peers].slice(-maxAsked);
    const states = await Promise.all(
      latest.map(([, { queue }]) =>
        link.findQueue(queue).catch(() => undefined)
      ),
    );
    this.#isAsking = false;
    // Somebody was heard meanwhile.
    if (this.#silentTicks <= silentTicks) return;
    for (const [index, [node, { queue }]] of latest.entries()) {
      const isSame = this.#peers.get(node)?.queue === queue;
      if (states[index] === "gone" && isSame) this.#peers.delete(node);
    }
    if (states.includes(undefined)) return;
    this.#isCutOff = states.includes("away");
  }

  #tell(
    link: Link,
    { kind, key = everyNode, since = 0 }: {
      kind: "alive" | "bye";
      key?: string;
      since?: number;
    },
  ): void {
    if (!link.isReady) return;
    const { sender, queue } = this.#options;
    const nowMs = performance.now();
    const runMs = Math.round(nowMs - (this.#startMs ?? nowMs));
    const text = kind === "alive" ? `${queue()} ${runMs}` : "";
    const body = new TextEncoder().encode(text);
    const hears = this.#options.hears();
    if (key === everyNode) this.#saidHears = hears;
    const answers = hears ? hearsMessages : answersAsks;
    const sequence = kind === "alive" ? answers : 0;
    sender.publishNews(link, { kind, key, body, sequence, since });
  }
}
