/** Reads the body of a request off its connection: no more than is wanted, and not from a peer that takes too long. */
import { Deadline } from "./deadline.ts";
import { BodyError } from "./request_body.ts";
import type { BodyDecoder } from "./request_body.ts";
import type { Wire } from "./wire.ts";

/** How long the peer may take for each 16 KiB of a body, in seconds. */
export const bodyStallS = 10;
/** How much of a body is read at a time, in bytes. */
export const bodyReadBytes = 16 * 1024;

/** Gets what to throw when a body comes too slowly. */
export function bodyTooSlow(): BodyError {
  return new BodyError(408, "The body comes too slowly");
}

/** What a {@linkcode BodyReader} is made of. */
export interface BodyReaderOptions {
  readonly decoder: BodyDecoder;
  readonly wire: Pick<Wire, "read">;
  /** Called when the body is wanted, before something of it is read. */
  readonly onWanted: () => Promise<void>;
}

/** The body of one request. */
export class BodyReader {
  readonly #options: BodyReaderOptions;
  readonly #deadline = new Deadline();
  /** Ends the wait for the next part. */
  #giveUp: ((error: BodyError) => void) | undefined;

  constructor(options: BodyReaderOptions) {
    this.#options = options;
    this.#deadline.start(bodyStallS);
    this.#deadline.stop();
  }

  /** Whether the next part is waited for. */
  get isReading(): boolean {
    return this.#deadline.isRunning;
  }

  /** Counts the time: to be called each `tickMs`. */
  tick(): void {
    if (this.#deadline.tick()) this.#giveUp?.(bodyTooSlow());
  }

  /** Gets the body as a stream, to be called once. Reading from it throws a {@linkcode BodyError} if the body can't be had. */
  stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const { decoder, onWanted } = this.#options;
    return new ReadableStream({
      pull: async (controller) => {
        await onWanted();
        for (const part of await this.#read()) controller.enqueue(part);
        if (decoder.isDone) controller.close();
      },
    }, { highWaterMark: 0 });
  }

  /** Reads until there is data of the body, or nothing more of it. */
  async #read(): Promise<Uint8Array<ArrayBuffer>[]> {
    const { decoder, wire } = this.#options;
    this.#deadline.resume();
    try {
      let parts: Uint8Array<ArrayBuffer>[] = [];
      while (parts.length === 0 && !decoder.isDone) {
        const buffer = new Uint8Array(bodyReadBytes);
        const late = Promise.withResolvers<never>();
        this.#giveUp = late.reject;
        // A read that goes on after that takes what is dropped anyway.
        const count = await Promise.race([wire.read(buffer), late.promise]);
        if (count === null) throw new BodyError(400, "The body is cut off");
        parts = decoder.push(buffer.subarray(0, count));
        // Only data: a chunk of one byte may take hundreds on the way.
        for (const { length } of parts) this.#deadline.moved(length);
      }
      return parts;
    } finally {
      this.#giveUp = undefined;
      this.#deadline.stop();
    }
  }
}
