/** One node's network to all brokers of a cluster, or to the only one: what happens to it happens on every way at once. */
import type { Broker } from "../helpers/broker.ts";
import { FaultyProxy } from "../helpers/faulty_proxy.ts";

/** The ways from one node to the brokers. */
export class BrokerWays implements AsyncDisposable {
  readonly #ways: ReadonlyMap<Broker, FaultyProxy>;

  private constructor(ways: ReadonlyMap<Broker, FaultyProxy>) {
    this.#ways = ways;
  }

  /** Opens a way to each of `brokers`. */
  static async start(brokers: readonly Broker[]): Promise<BrokerWays> {
    const ways = new Map<Broker, FaultyProxy>();
    for (const broker of brokers) {
      ways.set(broker, await FaultyProxy.start(broker.port));
    }
    return new BrokerWays(ways);
  }

  /** Where the brokers are to be found, in the order of {@linkcode start}, as the setting `hosts` has them. */
  get hosts(): string[] {
    return this.#all.map(({ port }) => `127.0.0.1:${port}`);
  }

  /** Whether the address `host`, as a node tells it, is the way to `broker`. */
  leadsTo(broker: Broker, host: string | null | undefined): boolean {
    return host === `127.0.0.1:${this.#ways.get(broker)?.port}`;
  }

  /** See {@linkcode FaultyProxy.reset}. */
  reset(): void {
    for (const way of this.#all) way.reset();
  }

  /** See {@linkcode FaultyProxy.halfOpen}. */
  halfOpen(): void {
    for (const way of this.#all) way.halfOpen();
  }

  /** See {@linkcode FaultyProxy.blackHole}. */
  blackHole(): void {
    for (const way of this.#all) way.blackHole();
  }

  /** See {@linkcode FaultyProxy.heal}. */
  heal(): void {
    for (const way of this.#all) way.heal();
  }

  /** See {@linkcode FaultyProxy.delay}. */
  delay(ms: number | (() => number)): void {
    for (const way of this.#all) way.delay(ms);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const way of this.#all) await way[Symbol.asyncDispose]();
  }

  get #all(): FaultyProxy[] {
    return [...this.#ways.values()];
  }
}
