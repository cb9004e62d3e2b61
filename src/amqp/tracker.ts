/**
 * What of the other nodes' messages arrived in one channel: finds duplicates
 * and gaps by the numbers that the senders gave (see `outbox.ts`).
 */
import type { Envelope } from "./envelope.ts";

/** What a message is to a receiver: the next one, one it had, or one after others that are missing. */
export type Verdict = "next" | "duplicate" | "gap";

/** Everything of one node after `from`, up to `last`, has arrived or is known to be lost. */
interface Span {
  from: number;
  last: number;
  /** What came before the first message that was heard, as that or a mark said; 0 if nothing, `undefined` if neither came. */
  after: number | undefined;
  /** Whether the last one may have been meant for an earlier membership. */
  mayBeLeftover: boolean;
  /** Whether the next message is as good as the first one. */
  isOpen: boolean;
}

/**
 * How many nodes are remembered at least, those that sent last. Each start of a
 * node makes another one, so a channel that lasts sees any number of them.
 */
const maxNodes = 1_000;

/** The numbers seen in one channel, by node. */
export class Tracker {
  #spans = new Map<string, Span>();
  /** Those that sent nothing since `#spans` was begun. */
  #former = new Map<string, Span>();

  /** How many nodes are remembered. */
  get nodes(): number {
    return this.#spans.size + this.#former.size;
  }

  /**
   * Takes note of a message, and tells what it is.
   *
   * @param mayBeLeftover Whether it may have been meant for an earlier
   * membership. What is missing after such a one concerns nobody.
   */
  message(
    { node, sequence, since }: Envelope,
    mayBeLeftover = false,
  ): Verdict {
    const span = this.#find(node);
    // A sender that left the channel in between doesn't know what was before.
    const from = since > 0 ? since : sequence - 1;
    if (!span) {
      // The first that is seen: what came before it in this channel came
      // before this node joined, or a notice will tell.
      this.#remember(node, {
        ...{ from, last: sequence, after: since },
        ...{ mayBeLeftover, isOpen: false },
      });
      return "next";
    }
    if (sequence <= span.last) return "duplicate";
    const isMissing = since > span.last;
    if (span.isOpen) span.after = isMissing ? since : 0;
    else span.after ??= since;
    const isGap = isMissing && !span.mayBeLeftover && !span.isOpen;
    span.isOpen = false;
    if (since === 0 || isMissing && !isGap) span.from = from;
    span.last = sequence;
    span.mayBeLeftover = mayBeLeftover;
    return isGap ? "gap" : "next";
  }

  /**
   * Takes note of a notice, and tells whether messages are missing here that
   * weren't known to be.
   *
   * A notice `rejected` is about the full queue of some node. Where nothing
   * shows whose, `mayHaveBeenFull` tells whether it may be this node's.
   */
  notice(
    { kind, node, sequence: high, since: low }: Envelope,
    mayHaveBeenFull: () => boolean,
  ): boolean {
    const span = this.#find(node);
    if (span && low > span.from && high <= span.last) return false;
    const began = span !== undefined && high > span.last;
    if (kind === "rejected" && !began && !mayHaveBeenFull()) return false;
    if (span) {
      span.from = Math.min(span.from, low - 1);
      span.last = Math.max(span.last, high);
    } else {
      const from = low - 1;
      this.#remember(node, spanAfter(from, high));
    }
    return true;
  }

  /**
   * Takes note that `last` is the number of the last message that `node` sent
   * before this, and tells whether messages are missing.
   */
  mark(
    node: string,
    { last, mayBeLeftover }: { last: number; mayBeLeftover: boolean },
  ): "next" | "gap" {
    const span = this.#find(node);
    if (!span) {
      this.#remember(node, { ...spanAfter(last), after: last, mayBeLeftover });
      return "next";
    }
    const isMissing = last > span.last;
    if (span.isOpen) span.after = isMissing ? last : 0;
    else span.after ??= last;
    const isGap = !span.mayBeLeftover && !span.isOpen;
    span.isOpen = false;
    if (!isMissing) return "next";
    if (!isGap) span.from = last;
    span.last = last;
    return isGap ? "gap" : "next";
  }

  /**
   * Takes note that everything of `node` up to the number `last` concerns
   * nobody here, and everything later does.
   */
  begin(node: string, last: number): void {
    // What is sent again would come twice.
    const heard = this.#find(node)?.last ?? 0;
    this.#remember(node, spanAfter(Math.max(last, heard)));
  }

  /** Takes note that what is missing before the next message of `node` may concern nobody; {@linkcode expect} tells. */
  reopen(node: string): void {
    const span = this.#find(node);
    if (!span) return;
    span.isOpen = true;
    span.after = undefined;
  }

  /** Does the same as {@linkcode begin} if nothing is known of `node`; {@linkcode expect} may follow. */
  meet(node: string, last: number): void {
    if (!this.#find(node)) this.#remember(node, spanAfter(last));
  }

  /**
   * Does the same as {@linkcode begin} if nothing is known of `node`, and tells
   * whether anything later is missing of what came
   * before the first message that was heard.
   */
  expect(node: string, last: number): "next" | "gap" {
    const span = this.#find(node);
    if (!span) {
      this.#remember(node, spanAfter(last));
      return "next";
    }
    const isGap = (span.after ?? 0) > last && !span.mayBeLeftover;
    span.last = Math.max(span.last, last);
    span.isOpen = false;
    return isGap ? "gap" : "next";
  }

  #find(node: string): Span | undefined {
    const span = this.#spans.get(node);
    if (span) return span;
    const former = this.#former.get(node);
    if (!former) return undefined;
    this.#former.delete(node);
    this.#remember(node, former);
    return former;
  }

  #remember(node: string, span: Span): void {
    if (this.#spans.size >= maxNodes) {
      this.#former = this.#spans;
      this.#spans = new Map();
    }
    this.#spans.set(node, span);
  }
}

/** What is known where everything after `from`, up to `last`, is accounted for. */
function spanAfter(from: number, last = from): Span {
  return {
    ...{ from, last, after: undefined },
    ...{ mayBeLeftover: false, isOpen: false },
  };
}
