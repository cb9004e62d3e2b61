/**
 * How long a peer may take, counted in the listener's ticks and not by the
 * clock: a process that stood still then reads what has come before it judges
 * anybody.
 */
import { tickMs } from "./silence.ts";

/** How much has to move in each period of a {@linkcode Deadline} for the next one to begin, in bytes. */
const bytesPerPeriod = 16 * 1024;

/** A time limit that begins anew with each 16 KiB that move. */
export class Deadline {
  #state: "running" | "stopped" = "stopped";
  #periodTicks = 0;
  #ticksLeft = 0;
  #movedBytes = 0;

  /** Whether the peer is waited for. */
  get isRunning(): boolean {
    return this.#state === "running";
  }

  /** Gives the peer `periodS` seconds from now on. */
  start(periodS: number): void {
    // One more, since the next tick may be due at once.
    this.#periodTicks = Math.ceil(periodS * 1000 / tickMs) + 1;
    this.#beginPeriod();
    this.#state = "running";
  }

  /** Nothing is expected of the peer for now. */
  stop(): void {
    this.#state = "stopped";
  }

  /** Goes on with the time that was left at {@linkcode stop}. */
  resume(): void {
    this.#state = "running";
  }

  /** Leaves the peer no more than `seconds` from now on. */
  shorten(seconds: number): void {
    const ticks = Math.ceil(seconds * 1000 / tickMs) + 1;
    this.#ticksLeft = Math.min(this.#ticksLeft, ticks);
  }

  /** Counts what the peer sent or took. */
  moved(bytes: number): void {
    this.#movedBytes += bytes;
    if (this.#movedBytes >= bytesPerPeriod) this.#beginPeriod();
  }

  /** Counts a tick, and gets whether the time is up. */
  tick(): boolean {
    return this.#state === "running" && --this.#ticksLeft <= 0;
  }

  #beginPeriod(): void {
    this.#ticksLeft = this.#periodTicks;
    this.#movedBytes = 0;
  }
}
