/**
 * A node's messages to itself: they show that messages get through and how
 * fast, that the queue's own binding is there, and which bindings the broker
 * has lost, although it has confirmed them (see `doubts.ts`).
 *
 * No answer is never a good answer. An alternate exchange takes what has
 * nowhere to go, so that nothing comes back as unroutable: a message that was
 * confirmed and isn't delivered is as good as returned. Then the connection is
 * broken off, and on the next one a message has to come through the queue
 * before anything is believed.
 */
import { within } from "../common/timing.ts";
import { BrokerError } from "./broker_error.ts";
import type { Connector } from "./connector.ts";
import { Doubts } from "./doubts.ts";
import type { Link } from "./link.ts";
import type { Membership } from "./membership.ts";
import type { Memberships } from "./memberships.ts";
import type { QueueWatch } from "./queue_watch.ts";
import type { Sender } from "./sender.ts";

/** A message that takes longer is late. */
const lateMs = 5_000;

/** So many ticks may pass while a message is on its way and the broker answers and delivers nothing; fewer, if it has confirmed that message. */
const silentTicks = { unconfirmed: 5, confirmed: 3 } as const;

/** How long a suspected broker may take for a message, while it delivers no other; in milliseconds. */
const proofMs = 2_000;

/** So many may pass while others are delivered, but not the message that the broker has confirmed. */
const lostTicks = 30;

/** A consumer that was lost is given up by then: Erlang's net_ticktime, 75 s at most if nobody changed it. In milliseconds. */
const turnMs = 90_000;

/** Why a link was broken off. */
export const noMessage = "The broker returns no message";

/** What {@linkcode Probe} works with. */
export interface ProbeOptions {
  /** The routing key of the node's messages to itself. */
  readonly ownKey: string;
  readonly connector: Pick<Connector, "link">;
  readonly sender: Pick<Sender, "publishProbe" | "answers">;
  readonly memberships: Pick<
    Memberships,
    "boundSince" | "byKey" | "loseBinding" | "probed"
  >;
  readonly watch: Pick<QueueWatch, "received" | "probed">;
  /** See {@linkcode Preparation.isOnlyConsumer}. */
  readonly isOnlyConsumer: (link: Link, hasTurn: boolean) => Promise<boolean>;
}

/** A message to ourselves, on its way. */
interface Waiting {
  readonly sentMs: number;
  isConfirmed: boolean;
  /** What had come out of the node's queue by then, see `QueueWatch`. */
  readonly received: number;
  readonly returned: PromiseWithResolvers<number>;
}

/** The messages of one node to itself. */
export class Probe {
  readonly #options: ProbeOptions;
  readonly #doubts: Doubts;
  #latest = 0;
  /** By number, the oldest first. */
  readonly #waiting = new Map<number, Waiting>();
  #roundTripMs: number | undefined;
  /** The question whether our own binding is there, while it is asked. */
  #ownBinding: PromiseWithResolvers<boolean> | undefined;
  /** How many ticks the oldest message has been on its way, and for how many of them nothing came from the broker. */
  readonly #ticks = { onItsWay: 0, silent: 0 };
  /** What had come from it at the last tick. */
  #progress = -1;
  /** What had come by the end of the last connection, and when the present one began. */
  #receivedBefore = 0;
  #connectedMs = 0;
  #isSuspect = false;

  constructor(options: ProbeOptions) {
    this.#options = options;
    this.#doubts = new Doubts(options);
  }

  /** The number of the latest message. */
  get latest(): number {
    return this.#latest;
  }

  /** How long the latest one that came back took; `undefined` if there is none, or while another one is late. */
  get roundTripMs(): number | undefined {
    const [oldest] = this.#waiting.values();
    const isLate = oldest !== undefined &&
      performance.now() - oldest.sentMs > lateMs;
    return isLate ? undefined : this.#roundTripMs;
  }

  /** See {@linkcode BridgeHealth.probe}. */
  async measure(timeoutMs: number): Promise<number> {
    const { link } = this.#options.connector;
    if (!link) throw new Error("The broker can't be reached");
    if (!link.isReady) {
      throw new Error(
        link.blocked === undefined
          ? "The broker is slow"
          : `The broker takes no messages: ${link.blocked}`,
      );
    }
    return await within(this.#send(link), timeoutMs, () => {
      throw new Error("The broker doesn't return a message");
    });
  }

  /** To be called when `link` is in use: asks for doubtful bindings, too. */
  connected(link: Link): void {
    this.#connectedMs = performance.now();
    if (link.isReady) void this.#send(link);
  }

  /**
   * To be called about once a second: sends a message if none is on its way, or
   * breaks off a link that returns none.
   */
  tick(link: Link): void {
    const [oldest] = this.#waiting.values();
    const { sender, watch } = this.#options;
    // Once it is confirmed, the confirms of others show nothing any more.
    const answers = oldest?.isConfirmed ? 0 : sender.answers;
    const progress = watch.received + answers;
    const isSilent = progress === this.#progress;
    this.#progress = progress;
    const ticks = this.#ticks;
    if (oldest === undefined || link.blocked !== undefined) {
      ticks.onItsWay = ticks.silent = 0;
      if (oldest === undefined && link.isReady) void this.#send(link);
      return;
    }
    ticks.onItsWay++;
    ticks.silent = isSilent ? ticks.silent + 1 : 0;
    const { isConfirmed } = oldest;
    const most = silentTicks[isConfirmed ? "confirmed" : "unconfirmed"];
    const isLost = isConfirmed && ticks.onItsWay > lostTicks;
    if (ticks.silent <= most && !isLost) return;
    ticks.onItsWay = ticks.silent = 0;
    if (isConfirmed) void this.#suspect(link);
    else link.destroy(new BrokerError(noMessage, { late: true }));
  }

  /** Breaks off a link on which a message that was confirmed doesn't come, unless another connection may have it. */
  async #suspect(link: Link): Promise<void> {
    const hasTurn = this.#options.watch.received !== this.#receivedBefore ||
      performance.now() - this.#connectedMs > turnMs;
    if (!await this.#options.isOnlyConsumer(link, hasTurn)) return;
    if (this.#options.connector.link !== link) return;
    this.#isSuspect = true;
    link.destroy(new BrokerError(noMessage));
  }

  /** Sends a message on `link`, which has to be ready, whatever is on its way. */
  ask(link: Link): void {
    void this.#send(link);
  }

  /** Whether messages were confirmed and didn't come, so that the bindings have to be proven. */
  get isSuspect(): boolean {
    return this.#isSuspect;
  }

  /** Tells whether a message comes out of the queue in time, before `link` is in use; it has to be consumed. */
  async comesBack(link: Link): Promise<boolean> {
    const { watch } = this.#options;
    const returned = this.#send(link).then(() => true, () => false);
    while (true) {
      const before = watch.received;
      const isBack = await within(returned, proofMs, () => undefined);
      // What comes first may be much.
      if (isBack === undefined && watch.received > before) continue;
      if (isBack) this.#isSuspect = false;
      return isBack ?? false;
    }
  }

  /** Tells whether messages to ourselves have somewhere to go, before `link` is in use. */
  async isOwnKeyBound(link: Link): Promise<boolean> {
    // While the broker takes no messages there is no answer. Then the first
    // message after that shows it.
    if (!link.isReady) return true;
    const answer = this.#ownBinding = Promise.withResolvers<boolean>();
    void this.#send(link);
    void link.down.then((reason) => answer.reject(reason));
    try {
      return await within(answer.promise, lateMs, () => true);
    } finally {
      this.#ownBinding = undefined;
    }
  }

  /** A message to ourselves had nowhere to go. */
  unroutable(link: Link): void {
    if (this.#ownBinding) {
      this.#failAll("Nothing is bound for it");
      this.#ownBinding.resolve(false);
    } // Set up again, which finds what is missing.
    else link.destroy(new BrokerError("bindings are gone"));
  }

  /** The broker takes no messages for now. */
  blocked(): void {
    this.#ownBinding?.resolve(true);
  }

  /** See {@linkcode Doubts.passed}. */
  passed(number: number, key: string): void {
    this.#doubts.passed(number, key);
  }

  /** See {@linkcode Doubts.doubt}. */
  doubt(membership: Membership): void {
    this.#doubts.doubt(membership);
  }

  /** A message to ourselves came straight through the queue. */
  returned(number: number): void {
    const { memberships, watch } = this.#options;
    memberships.probed(number);
    this.#doubts.returned(number);
    const waiting = this.#waiting.get(number);
    if (!waiting) return;
    this.#waiting.delete(number);
    this.#ticks.onItsWay = this.#ticks.silent = 0;
    this.#roundTripMs = performance.now() - waiting.sentMs;
    waiting.returned.resolve(this.#roundTripMs);
    watch.probed(waiting);
  }

  /** Gives up what is on its way, and doubts young bindings, after the connection was lost. */
  disconnected(): void {
    this.#failAll("The connection to the broker was lost");
    this.#receivedBefore = this.#options.watch.received;
    this.#roundTripMs = undefined;
    this.#ticks.onItsWay = this.#ticks.silent = 0;
    this.#doubts.disconnected();
  }

  /** Sends a message, and gets how many milliseconds it took, when it is back. */
  #send(link: Link): Promise<number> {
    const { ownKey, connector, sender, watch } = this.#options;
    const number = ++this.#latest;
    // Until the link is in use, its bindings are set up.
    if (connector.link === link) this.#doubts.ask(link, number);
    sender.publishProbe(link, {
      key: ownKey,
      number,
      mandatory: true,
      onAnswer: (isTaken) => {
        const waiting = this.#waiting.get(number);
        if (!isTaken) this.#fail(number, "This node's queue is full");
        else if (waiting) waiting.isConfirmed = true;
        this.#ownBinding?.resolve(true);
      },
    });
    const returned = Promise.withResolvers<number>();
    // Nobody may be waiting.
    returned.promise.catch(() => {});
    const sentMs = performance.now();
    const { received } = watch;
    this.#waiting.set(number, {
      ...{ sentMs, received, returned },
      isConfirmed: false,
    });
    return returned.promise;
  }

  #fail(number: number, reason: string): void {
    this.#waiting.get(number)?.returned.reject(new Error(reason));
    this.#waiting.delete(number);
    this.#doubts.failed(number);
  }

  #failAll(reason: string): void {
    for (const number of [...this.#waiting.keys()]) this.#fail(number, reason);
  }
}
