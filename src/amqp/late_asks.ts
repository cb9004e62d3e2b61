/**
 * Questions that joins wait for no longer, although another node hasn't
 * answered: its broker may be lost, and the question or the answer with it. It
 * is asked until it answers, and then shows whether clients missed anything in
 * the meantime.
 *
 * For that it has to say up to which number it had sent everything when the
 * joins succeeded: what is missing after that was missed, what is missing before
 * concerns nobody. It can't know that moment, but it knows what it had sent so
 * many milliseconds ago (`sent_log.ts`). So it is asked what it had sent when the
 * joins succeeded, and tells that for its own clock, and for the moments
 * before. As many of these as the answer may have been on its way are left out:
 * a number that is too high would hide a loss. One that is too low takes for
 * missed what wasn't, so an answer that took long isn't taken as long as there
 * may be a better one, and never shows a loss. Both clocks have to run alike, not to show the same.
 *
 * A node that can't answer costs nobody anything: the time doesn't count in
 * which either connection is down or blocked, or the other node isn't heard, or
 * says that it gets no messages. Who is there and doesn't answer for half a
 * minute may hide a loss: the channels' clients are told.
 */
import { type Answer, type Ask, moments, writeQuestion } from "./ask.ts";
import type { Connector } from "./connector.ts";
import type { Membership } from "./membership.ts";
import { nodeKey } from "./node_queue.ts";
import type { Peers } from "./peers.ts";
import type { Sender } from "./sender.ts";

/** If a node that is there hasn't answered for so long, it won't; in milliseconds. */
const giveUpMs = 30_000;

/** How long the first wait for an answer is, and the longest, in milliseconds; each is twice as long as the one before. */
const waitMs = { first: 1_000, last: 8_000 } as const;

/** How long question and answer may take together, until there has been none for some time; in milliseconds. */
const transit = { usualMs: 1_000, longAfterMs: 15_000 } as const;

/** A node that hasn't said for so long that it gets messages isn't asked, in milliseconds: it says so every 5 s. */
const reachableMs = 10_000;

/** So much faster may another node's clock run. */
const maxDrift = 1.001;

/** So many questions are kept at most, and so many answers waited for. */
const most = { asks: 10_000, answers: 100_000 } as const;

/** So many are sent in a second at most, and to a node that is heard again. */
const maxSent = 200;

/** What {@linkcode LateAsks} works with. */
export interface LateAsksOptions {
  readonly connector: Pick<Connector, "link">;
  readonly sender: Pick<Sender, "publishNews" | "sentUpTo">;
  readonly peers: Pick<Peers, "hearsMs">;
  /** Called when messages of a channel are missing, or may be. */
  readonly onGap: (membership: Membership, reason: string) => void;
}

/** How long one node has been waited for. */
interface Wait {
  /** When it was asked, if both were there ever since. */
  askedMs: number | undefined;
  /** How long it has from then on. */
  stepMs: number;
  /** How long it was asked in vain, without pauses. */
  vainMs: number;
}

/** A question, and who has to answer it. */
interface Late {
  readonly ask: Ask;
  readonly waits: Map<string, Wait>;
}

/** The late questions of one node. */
export class LateAsks {
  readonly #options: LateAsksOptions;
  /** By number, the oldest first. */
  readonly #asks = new Map<number, Late>();

  constructor(options: LateAsksOptions) {
    this.#options = options;
  }

  /** How many there are. */
  get size(): number {
    return this.#asks.size;
  }

  /** Takes a question that `nodes` haven't answered. */
  add(ask: Ask, nodes: readonly string[]): void {
    if (nodes.length === 0) return;
    const waits = this.#asks.get(ask.number)?.waits ?? new Map();
    for (const node of nodes) {
      if (!waits.has(node)) waits.set(node, newWait());
    }
    this.#asks.set(ask.number, { ask, waits });
    const maxAsks = Math.min(most.asks, most.answers / nodes.length);
    for (const oldest of this.#asks.values()) {
      if (this.#asks.size <= maxAsks) return;
      this.#giveUp(oldest);
    }
  }

  /** Asks a node at once that is heard again. */
  ask(node: string): void {
    let sent = 0;
    for (const { ask, waits } of this.#asks.values()) {
      const wait = waits.get(node);
      if (!wait || wait.askedMs !== undefined) continue;
      if (sent++ >= maxSent) return;
      this.#send(ask, node, wait);
    }
  }

  /** A node answers. */
  answered(node: string, number: number, { ageMs, sent }: Answer): void {
    const late = this.#asks.get(number);
    const wait = late?.waits.get(node);
    if (!wait) return;
    const { ask, waits } = late!;
    const transitMs = Math.max(0, maxDrift * ask.ageMs - ageMs);
    const isLong = transitMs > transit.usualMs;
    if (isLong && wait.vainMs < transit.longAfterMs) return;
    const known = sent[Math.ceil(transitMs / moments.stepMs)];
    if (known === undefined) return;
    const before = Math.max(known, ask.lastOf(node));
    const missing = [...ask.joined()].filter(({ tracker }) =>
      tracker.expect(node, before) === "gap"
    );
    if (isLong && missing.length > 0) return;
    ask.answer(node, before);
    waits.delete(node);
    if (waits.size === 0) this.#asks.delete(ask.number);
    for (const membership of missing) {
      this.#options.onGap(membership, "messages after a join are missing");
    }
  }

  /** Takes note that what was asked may be lost with the connection. */
  disconnected(): void {
    for (const { waits } of this.#asks.values()) {
      for (const wait of waits.values()) wait.askedMs = undefined;
    }
  }

  /** To be called about once a second: asks again, or gives up. */
  tick(): void {
    let sent = 0;
    for (const late of this.#asks.values()) {
      const { ask, waits } = late;
      const isMoot = ask.joined().next().done === true;
      const due = isMoot ? [] : this.#due(waits);
      if (isMoot || waits.size === 0) {
        this.#asks.delete(ask.number);
      } else if ([...waits.values()].some(isOver)) {
        this.#giveUp(late);
      } else {
        for (const [node, wait] of due) {
          if (sent++ < maxSent) this.#send(ask, node, wait);
        }
      }
    }
  }

  /** Gets those that are to be asked now, and forgets those that are gone. */
  #due(waits: Map<string, Wait>): [string, Wait][] {
    const { connector, peers } = this.#options;
    const nowMs = performance.now();
    const due: [string, Wait][] = [];
    for (const [node, wait] of waits) {
      const hearsMs = peers.hearsMs(node);
      if (hearsMs === undefined) {
        waits.delete(node);
      } else if (!connector.link?.isReady || nowMs - hearsMs > reachableMs) {
        Object.assign(wait, newWait(), { vainMs: wait.vainMs });
      } else if (wait.askedMs === undefined) {
        due.push([node, wait]);
      } else if (nowMs - wait.askedMs >= wait.stepMs) {
        // Otherwise it may have gone by the time that it was asked.
        if (hearsMs > wait.askedMs) wait.vainMs += wait.stepMs;
        wait.askedMs = undefined;
        wait.stepMs = Math.min(2 * wait.stepMs, waitMs.last);
        due.push([node, wait]);
      }
    }
    return due;
  }

  #send(ask: Ask, node: string, wait: Wait): void {
    const { connector: { link }, sender } = this.#options;
    if (!link?.isReady) return;
    const { number: sequence, keys } = ask;
    sender.publishNews(link, {
      ...{ kind: "ask", key: nodeKey(node), sequence },
      body: writeQuestion({ keys, ageMs: Math.max(1, ask.ageMs) }),
      since: Math.min(ask.since, sender.sentUpTo),
    });
    wait.askedMs = performance.now();
  }

  /** Forgets a question whose answer won't come, and tells the channels' clients. */
  #giveUp({ ask }: Late): void {
    this.#asks.delete(ask.number);
    for (const membership of ask.joined()) {
      this.#options.onGap(membership, "another node doesn't say what it sent");
    }
  }
}

function newWait(): Wait {
  return { askedMs: undefined, stepMs: waitMs.first, vainMs: 0 };
}

function isOver({ vainMs }: Wait): boolean {
  return vainMs >= giveUpMs;
}
