/**
 * The brake: while somebody in a channel is behind, those who publish in it
 * wait. What they send stays in their own sockets, where the kernel slows them
 * down.
 *
 * A reader is behind when more than `brake_bytes` are queued for it, and has
 * caught up at half of that. One that stays behind for `slow_after_s` is closed
 * with 4000, and the channel goes on.
 *
 * The bridge is such a reader, too, with a measure of its own; it is never
 * ended: after `slow_after_s` it has to give up messages, and tells so.
 */
import type { Client } from "./client.ts";
import type { Metrics } from "./metrics.ts";

/** Whose next message waits: a client, or somebody who posted it. */
export interface HeldSender {
  /** Lets it go on. Must not throw. */
  resume(): void;
}

/** Those whose next message waits. */
export class Held {
  readonly #metrics: Metrics;
  /** Since when each waits, in milliseconds; the longest first. */
  readonly #sinceMs = new Map<HeldSender, number>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** Lets `sender` wait until {@linkcode release}. */
  add(sender: HeldSender): void {
    if (this.#sinceMs.has(sender)) return;
    this.#sinceMs.set(sender, performance.now());
    this.#metrics.senderHolds++;
    this.#metrics.sendersHeld++;
  }

  /** Forgets `sender`, which is gone. */
  delete(sender: HeldSender): void {
    const sinceMs = this.#sinceMs.get(sender);
    if (sinceMs === undefined) return;
    this.#sinceMs.delete(sender);
    this.#metrics.sendersHeld--;
    this.#metrics.senderHeldSeconds += (performance.now() - sinceMs) / 1000;
  }

  /**
   * Lets them go on soon, in the order in which they came, for as long as
   * nothing holds them again: those whose turn it wasn't come first the next
   * time.
   *
   * Not at once: this is called while a channel's messages are sent, and what
   * a client publishes must not overtake them.
   */
  release(isHolding: () => boolean): void {
    queueMicrotask(() => {
      for (const sender of [...this.#sinceMs.keys()]) {
        if (isHolding()) return;
        this.delete(sender);
        sender.resume();
      }
    });
  }
}

/** What {@linkcode Brake} works with. */
export interface BrakeOptions {
  readonly metrics: Metrics;
  /** Called when somebody is behind for whom senders wait, and when nobody is any more. */
  readonly onChange: (isOn: boolean) => void;
}

/** The brake of one channel. */
export class Brake {
  readonly #onChange: (isOn: boolean) => void;
  /** Those who are behind, and for how many milliseconds, in steps of {@linkcode tick}. */
  readonly #behindMs = new Map<Client, number>();
  /** The same of the bridge: `undefined` while it keeps up, infinite once nobody waits for it any more. */
  #bridgeBehindMs: number | undefined;
  readonly #held: Held;

  constructor({ metrics, onChange }: BrakeOptions) {
    this.#held = new Held(metrics);
    this.#onChange = onChange;
  }

  /** Whether somebody is behind for whom senders wait. */
  get isOn(): boolean {
    return this.#behindMs.size > 0 ||
      (this.#bridgeBehindMs ?? Infinity) < Infinity;
  }

  /** Takes note that `reader` is behind. Gets whether that is new. */
  addReader(reader: Client): boolean {
    if (this.#behindMs.has(reader)) return false;
    this.#change(() => this.#behindMs.set(reader, 0));
    return true;
  }

  /** Takes note that the bridge is behind. */
  bridgeFellBehind(): void {
    this.#change(() => this.#bridgeBehindMs ??= 0);
  }

  /** Takes note that the bridge has caught up. */
  bridgeCaughtUp(): void {
    this.#change(() => this.#bridgeBehindMs = undefined);
  }

  /** Lets `sender` wait with its next message. */
  hold(sender: HeldSender): void {
    this.#held.add(sender);
  }

  /** Takes note that `sender` waits no longer. */
  unhold(sender: HeldSender): void {
    this.#held.delete(sender);
  }

  /** Takes note that `reader` has caught up. */
  caughtUp(reader: Client): void {
    this.#change(() => this.#behindMs.delete(reader));
  }

  /** Takes note that `client` is gone. */
  forget(client: Client): void {
    this.#held.delete(client);
    this.caughtUp(client);
  }

  /** Takes note that `ms` went by, and ends readers who are behind for `slowAfterMs`, and the wait for the bridge. */
  tick(ms: number, slowAfterMs: number): void {
    for (const [reader, behindMs] of [...this.#behindMs]) {
      this.#behindMs.set(reader, behindMs + ms);
      // It leaves the channel, and so is forgotten here.
      if (behindMs + ms > slowAfterMs) reader.endBeyond("slow_after_s");
    }
    if (this.#bridgeBehindMs === undefined) return;
    const bridgeBehindMs = this.#bridgeBehindMs + ms;
    this.#change(() =>
      this.#bridgeBehindMs = bridgeBehindMs > slowAfterMs
        ? Infinity
        : bridgeBehindMs
    );
  }

  #change(change: () => void): void {
    const wasOn = this.isOn;
    change();
    if (this.isOn === wasOn) return;
    this.#onChange(!wasOn);
    if (wasOn) this.#held.release(() => this.isOn);
  }
}
