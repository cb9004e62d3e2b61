/**
 * Bindings that the broker may have lost, although it has confirmed them.
 *
 * RabbitMQ 3.10 forgets durable bindings that are younger than a second when it
 * is killed; older ones, and queues, survive. A node that took such a channel
 * for bound would hear nothing of it any more. So after a lost connection it
 * sends itself a message in each channel that it joined shortly before, and
 * another one straight to its queue, behind them: where the first hasn't come
 * when the other one has, the binding is gone.
 */
import type { Membership, Memberships } from "./memberships.ts";

/** So old may a binding be that is doubted, in milliseconds: a generous multiple of a second. */
const doubtMs = 30_000;

/** The doubtful bindings of one node. */
export class Doubts {
  readonly #memberships: Memberships;
  /** When each was made. */
  readonly #boundMs = new Map<Membership, number>();
  /** The number of the messages that are on their way. */
  #asked: number | undefined;

  constructor(memberships: Memberships) {
    this.#memberships = memberships;
  }

  /** Takes note that the connection was lost, at `nowMs`. */
  disconnected(nowMs: number): void {
    const fresh = this.#memberships.boundSince(nowMs - doubtMs);
    for (const [membership, ms] of fresh) this.#boundMs.set(membership, ms);
    this.#asked = undefined;
  }

  /** Gets the routing keys of the messages with this number that are to be sent now, if any. */
  ask(number: number): string[] {
    if (this.#asked !== undefined || this.#boundMs.size === 0) return [];
    this.#asked = number;
    return Array.from(this.#boundMs.keys(), ({ key }) => key);
  }

  /** Takes note that the message with this number came through the binding for `key`. */
  answered(number: number, key: string): void {
    const membership = this.#memberships.find(key);
    if (number === this.#asked && membership) this.#boundMs.delete(membership);
  }

  /** Takes note that the message behind those with this number came: bindings that weren't heard of are lost. */
  end(number: number): void {
    if (number !== this.#asked) return;
    for (const [membership, ms] of this.#boundMs) {
      this.#memberships.loseBinding(membership, ms);
    }
    this.#boundMs.clear();
    this.#asked = undefined;
  }
}
