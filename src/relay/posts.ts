/**
 * Messages by POST, from somebody who isn't a member of the channel: what is
 * posted is published at once, or when somebody joins, and the answer says who
 * got it. Nothing is kept for later.
 */
import { within } from "../common/timing.ts";
import type { Bridge, Posted } from "./bridge.ts";
import type { Channels } from "./channels.ts";
import type { HttpSettings } from "./http_settings.ts";
import type { Limits } from "./limits.ts";
import type { Message } from "./message.ts";
import type { Metrics } from "./metrics.ts";
import { readPostedMessage } from "./posted_message.ts";
import { type Refusals, textResponse } from "./refusals.ts";
import { Tokens } from "./tokens.ts";
import { WaitingRoom } from "./waiting_room.ts";

/** The longest wait that `Prefer: wait=` gets, in seconds. */
const maxWaitS = 60;
/** How long a member whose handshake isn't answered yet is waited for, in milliseconds. */
const openingMs = 5_000;
/** How often other nodes are asked while somebody is waited for, in milliseconds. */
const askAgainMs = 1_000;
/** How much longer than `slow_after_s` a message is held: so a single slow reader doesn't cost it. */
const holdSlackMs = 1_000;

/** `wait` among the preferences of RFC 7240 section 4.3. */
const waitPattern = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])/i;

/** What {@linkcode Posts} works with. */
export interface PostsOptions {
  readonly channels: Channels;
  readonly bridge: Pick<Bridge, "post">;
  readonly limits: Limits;
  readonly http: HttpSettings;
  readonly metrics: Metrics;
  readonly refusals: Refusals;
}

/** What became of a message. */
interface Outcome extends Posted {
  /** How many members on this node it was queued for. */
  readonly members: number;
}

/** A message, and who waits for what becomes of it. */
interface Post {
  readonly path: string;
  readonly message: Message;
  /** When to wait for members no longer, by `performance.now()`. */
  readonly endMs: number;
  /** Aborted when the poster is gone. */
  readonly gone: AbortSignal;
  /** Resolves then, or when the node stops. */
  readonly ended: Promise<void>;
}

/** Takes messages by POST. */
export class Posts {
  readonly #options: PostsOptions;
  readonly #room: WaitingRoom;
  readonly #tokens = new Tokens();
  /** Ends each wait. */
  readonly #waits = new Set<() => void>();
  #isStopping = false;

  constructor(options: PostsOptions) {
    this.#options = options;
    this.#room = new WaitingRoom(options.http);
  }

  /** How many messages wait. */
  get waiting(): number {
    return this.#room.count;
  }

  /** Publishes the body of `request` in the channel `path`, and gets the answer. */
  async answer(request: Request, path: string): Promise<Response> {
    const { http, limits, metrics, refusals } = this.#options;
    metrics.httpRequests.post++;
    if (!this.#tokens.take(http.requestsPerSecond)) {
      return refusals.refuseFor("requests_per_second");
    }
    const message = await readPostedMessage(request, limits);
    if ("status" in message) return refusals.refuse(message);
    const bytes = message.payload.length;
    const full = this.#room.enter(bytes);
    if (full !== undefined) return refusals.refuseFor(full);
    metrics.messagesReceived++;
    metrics.bytesReceived += bytes;
    const waitS = preferredWaitS(request.headers);
    try {
      return await this.#post({ path, message, waitS, gone: request.signal });
    } finally {
      this.#room.leave(bytes);
    }
  }

  /** Ends every wait: whoever waits is told to come back. */
  stop(): void {
    this.#isStopping = true;
    for (const end of this.#waits) end();
  }

  async #post(
    { path, message, waitS, gone }: {
      path: string;
      message: Message;
      waitS: number | undefined;
      gone: AbortSignal;
    },
  ): Promise<Response> {
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const endThis = (): void => end();
    gone.addEventListener("abort", endThis);
    this.#waits.add(endThis);
    try {
      const endMs = performance.now() + (waitS ?? 0) * 1000;
      const post = { path, message, endMs, gone, ended };
      const response = await this.#publish(post);
      if (waitS !== undefined) {
        response.headers.set("Preference-Applied", `wait=${waitS}`);
      }
      return response;
    } finally {
      gone.removeEventListener("abort", endThis);
      this.#waits.delete(endThis);
    }
  }

  async #publish(post: Post): Promise<Response> {
    const { metrics, refusals } = this.#options;
    while (true) {
      if (!await this.#mayPublish(post)) {
        metrics.posts.held++;
        return refusals.refuseForNow("The channel's readers are too slow");
      }
      if (this.#isStopping) return refusals.refuseStopping();
      if (post.gone.aborted) {
        metrics.posts.given_up++;
        // Nobody reads it.
        return textResponse(503, "The client is gone");
      }
      const outcome = await this.#try(post);
      if (isDelivered(outcome)) {
        metrics.posts.delivered++;
        return jsonResponse(200, outcome);
      }
      const leftMs = post.endMs - performance.now();
      if (outcome.isGone && leftMs > 0) {
        await this.#somebodyComes(post, Math.min(leftMs, askAgainMs));
        continue;
      }
      if (outcome.reachedOthers === undefined) {
        metrics.posts.unknown++;
        return refusals.refuseForNow(
          outcome.isGone
            ? "Nobody is here, and other nodes can't be asked now: nobody got it"
            : "Nobody is here, and whether other nodes got it isn't known",
        );
      }
      metrics.posts.nobody++;
      return jsonResponse(404, outcome);
    }
  }

  /** Waits while the channel is held; see `brake.ts`. Gets whether that was over in time. */
  async #mayPublish(post: Post): Promise<boolean> {
    const { path, ended } = post;
    const { channels, limits } = this.#options;
    const endMs = performance.now() + limits.slowAfterS * 1000 + holdSlackMs;
    while (!this.#isStopping && !post.gone.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const held = { resume: resolve };
      if (!channels.holdPost(path, held)) return true;
      const leftMs = endMs - performance.now();
      const isOver = await earliest([promise, ended], leftMs);
      channels.forgetPost(path, held);
      if (!isOver) return false;
    }
    return true;
  }

  async #try(post: Post): Promise<Outcome> {
    const { channels, bridge } = this.#options;
    const { path, message } = post;
    if (channels.openCount(path) === 0 && channels.memberCount(path) > 0) {
      // Whoever's handshake fails would never have been there.
      await this.#somebodyComes(post, openingMs);
    }
    const members = channels.openCount(path);
    if (members > 0) channels.post(path, message);
    const isReached = members > 0;
    return { members, ...await bridge.post(path, message, { isReached }) };
  }

  /** Resolves when a member opens, or after `ms`. */
  async #somebodyComes({ path, ended }: Post, ms: number): Promise<void> {
    const opening = this.#options.channels.nextOpening(path);
    try {
      await earliest([opening.promise, ended], ms);
    } finally {
      opening.forget();
    }
  }
}

/** Gets the seconds of `Prefer: wait=`, at most {@linkcode maxWaitS}; `undefined` without. */
export function preferredWaitS(headers: Headers): number | undefined {
  const seconds = waitPattern.exec(headers.get("prefer") ?? "")?.[1];
  return seconds === undefined
    ? undefined
    : Math.min(Number(seconds), maxWaitS);
}

function isDelivered({ members, reachedOthers }: Outcome): boolean {
  return members > 0 || reachedOthers === true;
}

function jsonResponse(
  status: number,
  { members, isConfirmed, reachedOthers }: Outcome,
): Response {
  const others = isConfirmed === undefined ? {} : {
    other_nodes: reachedOthers ?? null,
    broker_confirmed: isConfirmed,
  };
  return new Response(`${JSON.stringify({ members, ...others })}\n`, {
    status,
    headers: {
      "Content-Type": "application/json",
      "Cache-Control": "no-store",
      "Connection": "close",
    },
  });
}

/** Resolves with whether one of `promises` resolved before `ms` were over. */
async function earliest(
  promises: readonly Promise<void>[],
  ms: number,
): Promise<boolean> {
  const first = Promise.race(promises).then(() => true);
  return await within(first, Math.max(ms, 0), () => false);
}
