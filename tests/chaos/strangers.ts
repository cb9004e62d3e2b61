/**
 * Strangers who are there all the time, beside the honest clients: nobody
 * invited them, and each tries to make a node hold something. A seed says who
 * does what, and when. What becomes of them isn't checked here; what they may
 * do to others is, as ever, by the history.
 */
import { pause } from "../helpers/eventually.ts";
import {
  concat,
  frameBytes,
  handshakeBytes,
  opcodes,
  RawClient,
  type Target,
} from "../helpers/raw_client.ts";
import { Random } from "../helpers/random.ts";
import type { Visit } from "./visits.ts";

/** What one kind of stranger does. It leaves when the function ends. */
type Stranger = (visit: Visit, stay: () => Promise<void>) => Promise<void>;

const { text, binary, continuation, ping } = opcodes;
const blockBytes = 64 * 1024;
/** How much a flood sends before it takes a breath, in bytes: a cluster of three on a small machine has others to serve. */
const floodBytes = 512 * 1024;

/** Every kind of stranger, by what it does. */
const strangers: Readonly<Record<string, Stranger>> = {
  "announces 63 MiB, and ends nothing": async ({ target, path, random }) => {
    using client = await RawClient.join(target, path);
    await client.send(random.pick([text, binary]), new Uint8Array(blockBytes), {
      declaredLength: 63n * 1024n * 1024n,
    });
    await client.readAway();
  },
  "sends fragments without an end": async ({ target, path, random }) => {
    using client = await RawClient.join(target, path);
    const part = new Uint8Array(blockBytes).fill(0x61);
    await client.send(random.pick([text, binary]), part, { fin: false });
    while (true) await client.send(continuation, part, { fin: false });
  },
  "answers no ping": async ({ target, path }, stay) => {
    using _client = await RawClient.join(target, path);
    await stay();
  },
  "sends half a request": async ({ target, path, random }, stay) => {
    using client = await RawClient.connect(target);
    const request = handshakeBytes({ path });
    await client.write(
      request.subarray(0, random.integer(1, request.length - 1)),
    );
    await stay();
  },
  "never answers a close": async ({ target, path }, stay) => {
    using client = await RawClient.join(target, path);
    await client.send(text, "x", { rsv: 1 });
    await stay();
  },
  "floods with the smallest frames": async ({ target, path, random }, stay) => {
    using client = await RawClient.join(target, path);
    const frame = random.pick([
      frameBytes(text),
      frameBytes(text, "hello"),
      frameBytes(ping, "p".repeat(125)),
      frameBytes(opcodes.pong),
    ]);
    await client.write(
      concat(
        Array.from({ length: floodBytes / frame.length | 0 }, () => frame),
      ),
    );
    await stay();
  },
  "only writes, beside another one": async ({ target, path, random }, stay) => {
    using one = await RawClient.join(target, path);
    using other = await RawClient.join(target, path);
    const message = frameBytes(
      binary,
      new Uint8Array(random.integer(1, blockBytes)),
    );
    const write = async (client: RawClient): Promise<void> => {
      try {
        while (true) await client.write(message);
      } catch {
        // Held, then closed.
      }
    };
    void write(one);
    void write(other);
    await stay();
  },
};

/** Settings of {@linkcode Strangers.start}. */
export interface StrangersOptions {
  readonly seed: number;
  /** Where they connect to. */
  readonly target: Target;
  /** How many there are at a time. Default 6. */
  readonly count?: number;
  /** How long one stays, at least and at most, in milliseconds. Default 1 s to 15 s. */
  readonly stayMs?: readonly [number, number];
}

/** Strangers at work. Their disposal sends them away. */
export class Strangers implements AsyncDisposable {
  readonly #leaving = Promise.withResolvers<void>();
  readonly #work: Promise<void[]>;
  /** How many there were, by what they did. */
  readonly visits: Record<string, number> = {};
  #isLeaving = false;

  private constructor(options: StrangersOptions) {
    const { count = 6 } = options;
    this.#work = Promise.all(
      Array.from(
        { length: count },
        (_, index) => this.#come(new Random(options.seed + index), options),
      ),
    );
  }

  /** Lets them come, one after the other in each of `count` places. */
  static start(options: StrangersOptions): Strangers {
    return new Strangers(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isLeaving = true;
    this.#leaving.resolve();
    await this.#work;
  }

  async #come(
    random: Random,
    { target, stayMs = [1000, 15_000] }: StrangersOptions,
  ): Promise<void> {
    const names = Object.keys(strangers);
    while (!this.#isLeaving) {
      const name = random.pick(names);
      const path = `/${random.uuid()}`;
      const ms = random.between(...stayMs);
      this.visits[name] = (this.visits[name] ?? 0) + 1;
      const stay = (): Promise<void> => this.#stay(ms);
      const visit = strangers[name]!({ target, path, random }, stay)
        // Whatever ends it, a fault or staps: that is what strangers get.
        .catch(() => {});
      // Nobody stays for longer, whatever it waits for.
      await Promise.race([visit, this.#stay(ms)]);
      await this.#stay(random.between(50, 500));
    }
  }

  async #stay(ms: number): Promise<void> {
    await Promise.race([pause(ms), this.#leaving.promise]);
  }
}
