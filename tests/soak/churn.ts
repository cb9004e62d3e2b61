/** Clients that come and go all the time, in channels that are made for them and end with them. */
import type { Target } from "../helpers/raw_client.ts";
import type { Random } from "../helpers/random.ts";
import { Meeting, type Tally } from "./meeting.ts";

/** Settings of {@linkcode Churn}. */
export interface ChurnOptions {
  readonly targets: readonly Target[];
  readonly random: Random;
  readonly joinsPerSecond: number;
  /** Where what clients find is counted. */
  readonly tally: Tally;
  /** Whether to wait for what a client still has to get: not of a server that promises nothing. */
  readonly checks: boolean;
}

/** How many join a channel, on average; from 2 to twice as many less 2. */
const meanGuests = 4;
/** How many messages a channel sees, and how long they take together. */
const messages = { min: 4, max: 12 };
const lifeMs = { min: 200, max: 3_000 };
/** The share of clients that hang up before they are let in. */
const hangUpShare = 0.02;
/** The share of messages after which somebody leaves. */
const leaveShare = 0.1;

/** Meetings without end, until it is paused. */
export class Churn {
  readonly #options: ChurnOptions;
  readonly #meetings = new Set<Promise<void>>();
  #pausing: PromiseWithResolvers<void> | undefined;
  #running: Promise<void> | undefined;

  constructor(options: ChurnOptions) {
    this.#options = options;
  }

  /** Goes on from now on. */
  start(): void {
    this.#pausing = Promise.withResolvers();
    this.#running = this.#run(this.#pausing.promise);
  }

  /** Resolves when all clients have left. */
  async pause(): Promise<void> {
    this.#pausing?.resolve();
    await this.#running;
    await Promise.all(this.#meetings);
  }

  async #run(paused: Promise<void>): Promise<void> {
    const { random, joinsPerSecond } = this.#options;
    let isPaused = false;
    void paused.then(() => isPaused = true);
    const meanMs = 1000 * meanGuests / joinsPerSecond;
    let dueMs = performance.now();
    while (!isPaused) {
      dueMs += random.between(0.5, 1.5) * meanMs;
      await Promise.race([sleep(dueMs - performance.now()), paused]);
      // One that couldn't keep up doesn't catch up.
      dueMs = Math.max(dueMs, performance.now() - 1000);
      const meeting = this.#meet(paused);
      this.#meetings.add(meeting);
      void meeting.then(() => this.#meetings.delete(meeting));
    }
  }

  async #meet(paused: Promise<void>): Promise<void> {
    const { targets, tally, checks } = this.#options;
    const random = this.#options.random.fork();
    const meeting = new Meeting({ targets, random, tally });
    const guests = random.integer(2, 2 * meanGuests - 2);
    const count = random.integer(messages.min, messages.max);
    const stepMs = random.between(lifeMs.min, lifeMs.max) / count;
    let joined = 0;
    let isPaused = false;
    void paused.then(() => isPaused = true);
    for (let i = 0; i < count && !isPaused; i++) {
      if (random.chance(hangUpShare * guests / count)) {
        await meeting.hangUp();
      }
      // Two at first, the others one by one.
      while (joined < Math.min(guests, 2 + i)) {
        joined++;
        await meeting.join();
      }
      meeting.publish();
      if (random.chance(leaveShare)) await meeting.leaveOne();
      await Promise.race([sleep(random.between(0.5, 1.5) * stepMs), paused]);
    }
    if (checks) await meeting.settle();
    await meeting.end();
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
