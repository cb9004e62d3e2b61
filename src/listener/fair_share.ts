/**
 * Who sends much must leave time for the others.
 *
 * The runtime goes on with a connection for as long as there is something to
 * read, up to 128 reads, before it looks at sockets that were quiet: with small
 * messages without a pause these take half a second. Only a timer makes it look.
 */

/** How long may be worked for busy connections, all together, before the others get their turn; in milliseconds. */
const shareMs = 1;

/** The time that busy connections have. */
export class FairShare {
  #waiting: (() => void)[] = [];
  #spentMs = 0;
  #state: "free" | "working" | "pausing" = "free";

  /**
   * Calls `work`, at once if it is nobody else's turn. What it leads to in
   * microtasks counts, too.
   */
  run(work: () => void): void {
    this.#waiting.push(work);
    if (this.#state === "free") this.#next();
  }

  #next(): void {
    const work = this.#waiting.shift();
    if (work === undefined) {
      this.#state = "free";
      return;
    }
    this.#state = "working";
    const startMs = performance.now();
    work();
    queueMicrotask(() => {
      this.#spentMs += performance.now() - startMs;
      if (this.#spentMs < shareMs) return this.#next();
      this.#state = "pausing";
      setTimeout(() => {
        this.#spentMs = 0;
        this.#next();
      }, 0);
    });
  }
}
