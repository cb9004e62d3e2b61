/** What a node replies to the others when they join channels; see `agreement.ts`. */
import { moments, type Question, readQuestion, writeAnswer } from "./ask.ts";
import type { Connector } from "./connector.ts";
import type { Envelope } from "./envelope.ts";
import type { Memberships } from "./memberships.ts";
import { nodeKey } from "./node_queue.ts";
import type { Sender } from "./sender.ts";

/** So many questions wait for a connection at most; of more, the oldest aren't answered. */
const maxPending = 1_000;

/** What {@linkcode Answers} works with. */
export interface AnswersOptions {
  readonly connector: Pick<Connector, "link">;
  readonly sender: Pick<Sender, "publishNews" | "sentBefore" | "sentUpTo">;
  readonly memberships: Pick<Memberships, "byKey" | "isPastBinding">;
}

/** A question that isn't answered. */
interface Pending extends Question {
  /** Who asks, and the question's number there. */
  readonly node: string;
  readonly number: number;
}

/** The answers of one node. */
export class Answers {
  readonly #options: AnswersOptions;
  /** The oldest first. */
  readonly #pending: Pending[] = [];

  constructor(options: AnswersOptions) {
    this.#options = options;
  }

  /** Another node, which has sent everything up to the number `since`, joins channels. */
  asked(
    { node, sequence: number, since }: Envelope,
    body: Uint8Array<ArrayBuffer>,
  ): void {
    const { memberships } = this.#options;
    const { keys, ageMs } = readQuestion(body);
    for (const key of keys) {
      const membership = memberships.byKey(key);
      // It wants to hear those, too, from its first message on.
      if (membership && memberships.isPastBinding(membership)) {
        membership.tracker.meet(node, since);
      }
    }
    this.#pending.push({ node, number, keys, ageMs });
    if (this.#pending.length > maxPending) this.#pending.shift();
    this.flush();
  }

  /** Answers what can be answered now. To be called when there is a connection, and from time to time. */
  flush(): void {
    const { connector: { link }, sender } = this.#options;
    while (link?.isReady) {
      const pending = this.#pending.shift();
      if (!pending) return;
      const { node, number: sequence, keys, ageMs } = pending;
      const { sentUpTo: last } = sender;
      const sent = ageMs > 0 ? this.#sentBefore(ageMs) : [];
      const body = writeAnswer({ last, ageMs, sent });
      const key = nodeKey(node);
      sender.publishNews(link, { kind: "answer", key, body, sequence });
      // No join waits for these any more.
      if (ageMs > 0) continue;
      const to = new TextEncoder().encode(node);
      for (const key of keys) {
        sender.publishNews(link, { kind: "echo", key, body: to, sequence });
      }
    }
  }

  #sentBefore(ageMs: number): number[] {
    const { count, stepMs } = moments;
    const beginMs = performance.now() - ageMs;
    return Array.from(
      { length: count },
      (_, i) => this.#options.sender.sentBefore(beginMs - i * stepMs),
    );
  }
}
