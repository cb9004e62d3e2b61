/** A bridge that says of itself what a test wants. */
import {
  type Bridge,
  type BridgeHealth,
  type BridgeState,
  NoBridge,
} from "../../src/relay/bridge.ts";

/** A bridge without a broker, in any state. */
export class StubBridge extends NoBridge implements Bridge, BridgeHealth {
  readonly #state: BridgeState;

  constructor(state: Partial<BridgeState> = {}) {
    super();
    this.#state = {
      connected: true,
      broker: "rabbit.example:5672",
      problem: undefined,
      blocked: undefined,
      outboxBytes: 1,
      outboxMessages: 2,
      unconfirmed: 3,
      channels: 4,
      joinsWaiting: 5,
      unanswered: 14,
      roundTripMs: 6,
      nodes: 2,
      isCutOff: false,
      published: 7,
      received: 8,
      duplicates: 9,
      gaps: 10,
      dropped: 11,
      rejected: 12,
      connects: 13,
      ...state,
    };
  }

  state(): BridgeState {
    return this.#state;
  }

  probe(): Promise<number> {
    return Promise.resolve(this.#state.roundTripMs ?? 0);
  }
}
