/** How late the event loop is: what every client feels at once. */
import { durationBounds, Histogram } from "../common/histogram.ts";

/** How often it is measured, in milliseconds. */
const intervalMs = 500;
/** For how many measurements the largest one counts as recent: about 10 s. */
const recentCount = 20;

/** Measures how much later than due a timer fires, until it is disposed of. */
export class EventLoopLag implements Disposable {
  /** All measurements, in seconds. */
  readonly seconds = new Histogram(durationBounds);
  readonly #recentMs: number[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.#measure();
  }

  /** The largest lag of the last 10 seconds, in milliseconds. */
  get recentMs(): number {
    return Math.max(0, ...this.#recentMs);
  }

  /** Stops measuring. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #measure(): void {
    const dueMs = performance.now() + intervalMs;
    this.#timer = setTimeout(() => {
      const lateMs = Math.max(0, performance.now() - dueMs);
      this.seconds.observe(lateMs / 1000);
      if (this.#recentMs.push(lateMs) > recentCount) this.#recentMs.shift();
      this.#measure();
    }, intervalMs);
    // Measuring is no reason to live.
    Deno.unrefTimer(this.#timer);
  }
}
