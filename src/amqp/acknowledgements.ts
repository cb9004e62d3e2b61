/** Acknowledges what came out of a node's queue, many messages at once. */
import type { ConsumeMessage } from "./connect.ts";

/** At most this many messages wait here to be acknowledged, and at most this long, in milliseconds. */
const most = { count: 100, ms: 10 } as const;

/** What is to be acknowledged on one link. */
export class Acknowledgements {
  readonly #acknowledge: (upTo: ConsumeMessage) => void;
  #latest: ConsumeMessage | undefined;
  #count = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `acknowledge` tells the broker that everything up to a message was taken. */
  constructor(acknowledge: (upTo: ConsumeMessage) => void) {
    this.#acknowledge = acknowledge;
  }

  /** Takes a message that is to be acknowledged soon. */
  add(message: ConsumeMessage): void {
    this.#latest = message;
    if (++this.#count >= most.count) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), most.ms);
  }

  /** Acknowledges what waits here. */
  flush(): void {
    this.stop();
    const message = this.#latest;
    this.#latest = undefined;
    this.#count = 0;
    if (message) this.#acknowledge(message);
  }

  /** Acknowledges nothing by itself. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
