/** What stands in for the rest of a node while one part of its bridge is tested. */
import assert from "node:assert/strict";
import type { BrokerError } from "../../src/amqp/broker_error.ts";
import { Memberships } from "../../src/amqp/memberships.ts";

/** The name of the node that is tested. */
export const own = "0123456789abcdef";
/** Names of others. */
export const [one, two] = ["1".repeat(16), "2".repeat(16)] as const;

/** Makes the channels of a node that loses nothing. */
export function makeMemberships(
  options: Partial<ConstructorParameters<typeof Memberships>[0]> = {},
): Memberships {
  return new Memberships({
    onOutage: "local",
    joinTimeoutMs: 5_000,
    onMissed: () => assert.fail("Nothing was lost"),
    onDoubtful: () => {},
    onBound: () => {},
    latestProbe: () => 0,
    ...options,
  });
}

/** A link on which every binding succeeds at once. */
export const bindingLink = {
  bind: (): Promise<void> => Promise.resolve(),
  unbind: (): Promise<void> => Promise.resolve(),
};

/** A link that answers nothing. */
export const silentLink = {
  bind: (): Promise<void> => new Promise(() => {}),
  unbind: (): Promise<void> => new Promise(() => {}),
};

/** A link that only lives and dies. */
export class MortalLink {
  isReady = true;
  blocked: string | undefined;
  isDestroyed = false;
  readonly #down = Promise.withResolvers<BrokerError>();
  readonly down = this.#down.promise;

  destroy(reason: BrokerError): void {
    this.isDestroyed = true;
    this.#down.resolve(reason);
  }
}

/** The time of `performance.now()`, which stands still until disposal. */
export class Clock implements Disposable {
  readonly #now = performance.now;
  nowMs: number;

  constructor(nowMs = performance.now()) {
    this.nowMs = nowMs;
    performance.now = () => this.nowMs;
  }

  [Symbol.dispose](): void {
    performance.now = this.#now;
  }
}

/** Lets whatever is due happen. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
