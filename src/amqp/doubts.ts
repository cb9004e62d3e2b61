/**
 * Bindings that the broker has confirmed, and may have lost all the same.
 *
 * RabbitMQ 3.10 forgets durable bindings that are younger than a second when it
 * is killed; older ones, and queues, survive. A node that took such a channel
 * for bound would hear nothing of it any more. So after a lost connection it
 * sends itself a message in each channel that it joined shortly before, and
 * another one straight to its queue, behind them: where the first hasn't come
 * when the other one has, the binding is gone.
 *
 * The same goes for a channel that the node left and joined again while a
 * connection was lost: what the network kept of that connection may reach the
 * broker late, and unbind what the next connection has bound. That is over once
 * the next one gets a message, as the broker gives messages to a connection
 * only when those before it are dead; so the channel is asked after that.
 */
import type { Link } from "./link.ts";
import type { Membership } from "./membership.ts";
import type { Memberships } from "./memberships.ts";
import type { Sender } from "./sender.ts";

/** So old may a binding be that is doubted: a generous multiple of a second. */
const doubtMs = 30_000;

/** What {@linkcode Doubts} works with. */
export interface DoubtsOptions {
  readonly sender: Pick<Sender, "publishProbe">;
  readonly memberships: Pick<
    Memberships,
    "boundSince" | "byKey" | "loseBinding"
  >;
}

/** Messages through doubtful bindings, and one straight to the queue behind them. */
interface Question {
  readonly number: number;
  /** How many of them the broker hasn't answered. */
  unanswered: number;
  /** Whether the last one is back. */
  isOver: boolean;
}

/** The doubtful bindings of one node. */
export class Doubts {
  readonly #options: DoubtsOptions;
  /** When each of them was made. */
  readonly #doubtful = new Map<Membership, number>();
  /** The same of bindings that are to be doubted once a message is back. */
  readonly #rebound = new Map<Membership, number>();
  /** The messages through them, while they are on their way. */
  #question: Question | undefined;

  constructor(options: DoubtsOptions) {
    this.#options = options;
  }

  /** Doubts a binding that was just made, as what a lost connection said may still end it. */
  doubt(membership: Membership): void {
    this.#rebound.set(membership, membership.boundMs);
  }

  /** Doubts young bindings, after the connection was lost. */
  disconnected(): void {
    const { memberships } = this.#options;
    const fresh = memberships.boundSince(performance.now() - doubtMs);
    for (const [membership, ms] of fresh) this.#doubtful.set(membership, ms);
  }

  /** Sends a message through each doubtful binding, ahead of the node's message to itself with this number. */
  ask(link: Link, number: number): void {
    if (this.#question !== undefined || this.#doubtful.size === 0) return;
    const question: Question = {
      number,
      unanswered: this.#doubtful.size,
      isOver: false,
    };
    this.#question = question;
    for (const { key } of this.#doubtful.keys()) {
      this.#options.sender.publishProbe(link, {
        key,
        number,
        mandatory: false,
        onAnswer: (isTaken) => {
          if (this.#question !== question) return;
          question.unanswered--;
          // The queue was full: the next one asks again.
          if (!isTaken) this.#question = undefined;
          else this.#end(question);
        },
      });
    }
  }

  /** A message came through the binding of a channel, for `key`. */
  passed(number: number, key: string): void {
    const membership = this.#options.memberships.byKey(key);
    if (number === this.#question?.number && membership) {
      this.#doubtful.delete(membership);
    }
  }

  /** A message came straight through the queue. */
  returned(number: number): void {
    const question = this.#question;
    if (number === question?.number) {
      question.isOver = true;
      this.#end(question);
    }
    if (this.#question !== undefined) return;
    // No connection but the present one can end these any more: the next message asks.
    for (const [membership, boundMs] of this.#rebound) {
      this.#doubtful.set(membership, boundMs);
    }
    this.#rebound.clear();
  }

  /** The message with this number won't come: the next one asks again. */
  failed(number: number): void {
    if (number === this.#question?.number) this.#question = undefined;
  }

  /** The bindings that no message came through are lost, once the broker has answered all of them. */
  #end({ isOver, unanswered }: Question): void {
    if (!isOver || unanswered > 0) return;
    for (const [membership, ms] of this.#doubtful) {
      this.#options.memberships.loseBinding(membership, ms);
    }
    this.#doubtful.clear();
    this.#question = undefined;
  }
}
