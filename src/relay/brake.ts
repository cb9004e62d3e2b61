/**
 * The brake: while somebody in a channel is behind, those who publish in it
 * wait. What they send stays in their own sockets, where the kernel slows them
 * down.
 *
 * A reader is behind when more than `brake_bytes` are queued for it, and has
 * caught up at half of that. One that stays behind for `slow_after_s` is closed
 * with 4000, and the channel goes on.
 */
import type { Client } from "./client.ts";
import type { Metrics } from "./metrics.ts";

/** Clients whose next message waits. */
export class Held {
  readonly #metrics: Metrics;
  /** Since when each waits, in milliseconds. */
  readonly #sinceMs = new Map<Client, number>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** How many there are. */
  get size(): number {
    return this.#sinceMs.size;
  }

  /** Lets `client` wait until {@linkcode release}. */
  add(client: Client): void {
    if (this.#sinceMs.has(client)) return;
    this.#sinceMs.set(client, performance.now());
    this.#metrics.senderHolds++;
    this.#metrics.sendersHeld++;
  }

  /** Forgets `client`, which is gone. */
  delete(client: Client): void {
    const sinceMs = this.#sinceMs.get(client);
    if (sinceMs === undefined) return;
    this.#sinceMs.delete(client);
    this.#metrics.sendersHeld--;
    this.#metrics.senderHeldSeconds += (performance.now() - sinceMs) / 1000;
  }

  /** Lets everybody go on, in the order in which they came: some may be held again at once. */
  release(): void {
    const clients = [...this.#sinceMs.keys()];
    for (const client of clients) this.delete(client);
    for (const client of clients) client.resume();
  }
}

/** What {@linkcode Brake} works with. */
export interface BrakeOptions {
  readonly metrics: Metrics;
  /** Called when nobody is behind any more. */
  readonly onReleased: () => void;
}

/** The brake of one channel, while it is on. */
export class Brake {
  readonly #onReleased: () => void;
  /** Those who are behind, and for how many milliseconds, in steps of {@linkcode tick}. */
  readonly #behindMs = new Map<Client, number>();
  readonly #held: Held;

  constructor({ metrics, onReleased }: BrakeOptions) {
    this.#held = new Held(metrics);
    this.#onReleased = onReleased;
  }

  /** Takes note that `reader` is behind. Gets whether that is new. */
  addReader(reader: Client): boolean {
    if (this.#behindMs.has(reader)) return false;
    this.#behindMs.set(reader, 0);
    return true;
  }

  /** Lets `sender` wait with its next message. */
  hold(sender: Client): void {
    this.#held.add(sender);
  }

  /** Takes note that `reader` has caught up. */
  caughtUp(reader: Client): void {
    if (!this.#behindMs.delete(reader) || this.#behindMs.size > 0) return;
    this.#onReleased();
    this.#held.release();
  }

  /** Takes note that `client` is gone. */
  forget(client: Client): void {
    this.#held.delete(client);
    this.caughtUp(client);
  }

  /** Takes note that `ms` went by, and ends readers who are behind for `slowAfterMs`. */
  tick(ms: number, slowAfterMs: number): void {
    for (const [reader, behindMs] of [...this.#behindMs]) {
      this.#behindMs.set(reader, behindMs + ms);
      // It leaves the channel, and so is forgotten here.
      if (behindMs + ms > slowAfterMs) reader.endBeyond("slow_after_s");
    }
  }
}
