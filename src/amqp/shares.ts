/**
 * How much of the outbox each channel takes.
 *
 * No channel may have more there than is free afterwards (the dynamic threshold
 * of switches with a shared memory): one takes at most half, two a third each,
 * and there is always room for those who send little.
 */

/** What waits of one channel. */
interface Share {
  bytes: number;
  isBehind: boolean;
}

/**
 * A channel is behind when more of it waits than this share of what is free,
 * and has caught up at half of that. A few hundred letters by default, so that
 * nobody waits long behind another channel's flood.
 */
const behindShare = 1 / 16;

/** Settings of {@linkcode Shares}. */
export interface SharesOptions {
  /** What all channels may have together, in bytes. */
  readonly maxBytes: number;
  /** Called when the channel with the routing key `key` has caught up. */
  readonly onCaughtUp: (key: string) => void;
}

/** The shares of all channels, by routing key. */
export class Shares {
  readonly #options: SharesOptions;
  readonly #shares = new Map<string, Share>();
  #bytes = 0;

  constructor(options: SharesOptions) {
    this.#options = options;
  }

  /** What all of them have, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Tells whether anything waits of the channel `key`. */
  has(key: string): boolean {
    return this.#shares.has(key);
  }

  /** Tells whether so much of the channel `key` waits that no more should come for now. */
  isBehind(key: string): boolean {
    return this.#shares.get(key)?.isBehind ?? false;
  }

  /** Tells whether the channel `key` may have `bytes` more. One message always fits, so that none is too large for ever. */
  hasRoom(key: string, bytes: number): boolean {
    if (this.#bytes === 0) return true;
    const share = this.#shares.get(key)?.bytes ?? 0;
    return share + bytes <= this.#options.maxBytes - this.#bytes;
  }

  /** Takes note that the channel `key` has `bytes` more here, or fewer. */
  add(key: string, bytes: number): void {
    // Notices cost nothing.
    if (bytes === 0) return;
    this.#bytes += bytes;
    let share = this.#shares.get(key);
    if (!share) this.#shares.set(key, share = { bytes: 0, isBehind: false });
    share.bytes += bytes;
    const free = Math.max(0, this.#options.maxBytes - this.#bytes);
    const limit = free * behindShare;
    if (share.bytes > limit) share.isBehind = true;
    else if (share.isBehind && share.bytes <= limit / 2) {
      share.isBehind = false;
      this.#options.onCaughtUp(key);
    }
    if (share.bytes === 0) this.#shares.delete(key);
  }
}
