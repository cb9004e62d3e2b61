/** A node's messages to itself: they show that messages get through, and how fast. */

/** A message to ourselves, on its way. */
export interface Probe {
  /** When it was sent. */
  readonly ms: number;
  /** What had come out of the node's queue by then, see `QueueWatch`. */
  readonly received: number;
}

/** One that takes longer is taken for lost. */
const lateMs = 5_000;

/** The messages to ourselves that are on their way, by number. */
export class Probes {
  readonly #waiting = new Map<
    number,
    Probe & { readonly returned: PromiseWithResolvers<number> }
  >();
  #roundTripMs: number | undefined;

  /** How many are on their way. */
  get size(): number {
    return this.#waiting.size;
  }

  /** How long the latest one took; `undefined` if there is none, or while another one is late. */
  get roundTripMs(): number | undefined {
    const [oldest] = this.#waiting.values();
    const isLate = oldest !== undefined &&
      performance.now() - oldest.ms > lateMs;
    return isLate ? undefined : this.#roundTripMs;
  }

  /**
   * Takes note that one was sent.
   *
   * @returns How many milliseconds it took, when it is back.
   */
  sent(number: number, probe: Probe): Promise<number> {
    const returned = Promise.withResolvers<number>();
    // Nobody may be waiting.
    returned.promise.catch(() => {});
    this.#waiting.set(number, { ...probe, returned });
    return returned.promise;
  }

  /** Takes note that one came back, and gets it if it was waited for. */
  returned(number: number): Probe | undefined {
    const probe = this.#waiting.get(number);
    if (!probe) return undefined;
    this.#waiting.delete(number);
    this.#roundTripMs = performance.now() - probe.ms;
    probe.returned.resolve(this.#roundTripMs);
    return probe;
  }

  /** Takes note that one won't come back. */
  failed(number: number, reason: string): void {
    this.#waiting.get(number)?.returned.reject(new Error(reason));
    this.#waiting.delete(number);
  }

  /** Gives up all of them, after the connection was lost. */
  clear(): void {
    for (const number of [...this.#waiting.keys()]) {
      this.failed(number, "The connection to the broker was lost");
    }
    this.#roundTripMs = undefined;
  }
}
