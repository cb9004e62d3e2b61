/** How many posted messages may wait at once, and how much they may take. */
import type { HttpSettings } from "./http_settings.ts";
import type { HttpLimitName } from "./limits.ts";

/** What a message that waits takes beside its bytes: an estimate, in bytes. */
const overheadBytes = 2048;

/** The posted messages of one node whose answer isn't known yet. */
export class WaitingRoom {
  readonly #settings: Pick<HttpSettings, "waitingRequests" | "waitingBytes">;
  #count = 0;
  #bytes = 0;

  constructor(
    settings: Pick<HttpSettings, "waitingRequests" | "waitingBytes">,
  ) {
    this.#settings = settings;
  }

  /** How many are in it. */
  get count(): number {
    return this.#count;
  }

  /** Lets a message of `bytes` in until {@linkcode leave}, or tells for which limit there is no room. */
  enter(bytes: number): HttpLimitName | undefined {
    const { waitingRequests, waitingBytes } = this.#settings;
    if (this.#count >= waitingRequests) return "waiting_requests";
    if (this.#bytes + bytes + overheadBytes > waitingBytes) {
      return "waiting_bytes";
    }
    this.#count++;
    this.#bytes += bytes + overheadBytes;
    return undefined;
  }

  /** Lets a message out that came in with as many `bytes`. */
  leave(bytes: number): void {
    this.#count--;
    this.#bytes -= bytes + overheadBytes;
  }
}
