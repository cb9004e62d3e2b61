/** A real staps that is fuzzed, and well-behaved clients of it that must not notice. */
import assert from "node:assert/strict";
import type { Status } from "../../src/admin/status.ts";
import { ask } from "../helpers/admin.ts";
import { eventTimeoutMs, eventually, pause } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import { type Staps, startStaps } from "../../tools/process.ts";
import { type Client, Clients, type Received } from "../../tools/ws_client.ts";

/** What all paths of a run contain, and nothing that staps writes may. */
export const canary = "c4n4ry-0f-the-p4th";

/** The channel of clients that talk undisturbed, and the one that inputs are published in, too. */
export const paths = {
  private: `/${canary}/private`,
  shared: `/${canary}/shared`,
} as const;

/** The largest message: small, so that some are larger. */
export const maxMessageBytes = 64 * 1024;

/**
 * What the memory may grow by after the first inputs. It goes up by some 130 MiB
 * and down again, as the engine collects garbage late; see "Soak" in
 * docs/reliability.md. A leak of 10 KiB an input shows after some 25,000.
 */
const growthBytes = 256 * 1024 * 1024;

/** A pause between two messages of the same pair: steady traffic, not a flood. */
const talkPauseMs = 5;

/** Two clients that take turns: each message has to come, once, and before any other of them. */
class Pair {
  /** Messages that arrived and were what they should be. */
  count = 0;
  /** Why it can't go on, if it can't. */
  failure: Error | undefined;
  /** What somebody else published, by receiver. */
  readonly foreign: readonly [Received[], Received[]] = [[], []];
  readonly #name: string;
  readonly #clients: readonly [Client, Client];
  readonly #talking: Promise<void>;
  #ended = false;

  constructor(name: string, clients: readonly [Client, Client]) {
    this.#name = name;
    this.#clients = clients;
    this.#talking = this.#talk().catch((cause) => {
      const text = `A well-behaved client (${name}) was hurt: ${cause}`;
      this.failure = new Error(text, { cause });
    });
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#talking;
  }

  async #talk(): Promise<void> {
    while (!this.#ended) {
      for (const [from, to] of [[0, 1], [1, 0]] as const) {
        const text = `talk ${this.#name} ${from} ${this.count}`;
        const isText = this.count % 2 === 0;
        const sent = isText ? text : new TextEncoder().encode(text);
        this.#clients[from].send(sent);
        let got;
        while (!isTalk(got = await this.#clients[to].next())) {
          this.foreign[to].push(got);
        }
        assert.deepEqual(got, sent);
        this.count++;
      }
      await pause(talkPauseMs);
    }
  }
}

function isTalk(message: Received): boolean {
  const text = typeof message === "string"
    ? message
    : new TextDecoder().decode(message);
  return /^talk (private|shared) [01] \d+$/.test(text);
}

/** Gets a message in words, with its content in hexadecimal digits. */
export function keyOf(message: Received): string {
  return typeof message === "string"
    ? `text ${new TextEncoder().encode(message).toHex()}`
    : `binary ${message.toHex()}`;
}

/** A staps with everything that listens, and two pairs of clients on it. */
export class FuzzedNode {
  readonly staps: Staps;
  /** Where it listens, by the kind of address. */
  readonly doors: {
    readonly unix: { readonly socket: string };
    readonly tcp: { readonly port: number };
    readonly admin: { readonly socket: string };
  };
  readonly #pairs: Pair[] = [];
  #base!: Status;
  #warmBytes: number | undefined;
  #looks = 0;
  #read = 0;

  private constructor(staps: Staps, doors: FuzzedNode["doors"]) {
    this.staps = staps;
    this.doors = doors;
  }

  /**
   * Starts it, and the talk; both end with `stack`.
   *
   * @param options.config Lines for its configuration file, beside its own.
   * @param options.other Where the second client of each pair is; here, unless given.
   * @param options.silent Without pairs of its own: it is the other one.
   */
  static async start(
    stack: AsyncDisposableStack,
    { config = "", other, silent = false }: {
      config?: string;
      other?: FuzzedNode;
      silent?: boolean;
    } = {},
  ): Promise<FuzzedNode> {
    const folder = stack.use(await TempFolder.make());
    const adminSocket = `${folder.path}/admin.sock`;
    const staps = stack.use(
      await startStaps({
        config: `${config}
[limits]
message_bytes = ${maxMessageBytes}
[log]
level = debug
[admin]
socket = ${adminSocket}
`,
        args: ["--listen=127.0.0.1:0"],
      }),
    );
    const [, port] = await staps.printed(
      /listening on ws:\/\/127\.0\.0\.1:(\d+)/,
    );
    const node = new FuzzedNode(staps, {
      unix: { socket: staps.socket },
      tcp: { port: Number(port) },
      admin: { socket: adminSocket },
    });
    const here = stack.use(new Clients(staps.socket));
    const there = stack.use(new Clients((other?.staps ?? staps).socket));
    for (const name of silent ? [] : ["private", "shared"] as const) {
      const path = paths[name];
      const clients = [await here.join(path), await there.join(path)] as const;
      const pair = new Pair(name, clients);
      stack.defer(() => pair.end());
      node.#pairs.push(pair);
    }
    await node.settle();
    return node;
  }

  /** How many messages of the pairs arrived. */
  get talked(): number {
    return this.#pairs.reduce((sum, { count }) => sum + count, 0);
  }

  /** How many lines it has logged that tell of something else than clients and their messages. */
  get noteworthyLines(): number {
    return this.staps.stderr.match(/^\S+ (warn|error) /gm)?.length ?? 0;
  }

  /** Takes the clients and channels of now for its own, which {@linkcode look} doesn't miss. */
  async settle(): Promise<void> {
    this.#base = await this.status();
  }

  /** Asks it how it does. */
  async status(): Promise<Status> {
    const { status, text } = await ask(this.doors.admin.socket, "/status");
    assert.equal(status, 200, text);
    return JSON.parse(text);
  }

  /**
   * Checks that nothing is left of the inputs so far: not a client, channel,
   * descriptor nor much memory; that nothing was printed that may not be; and
   * that its own clients have noticed nothing.
   *
   * @returns What others published in the shared channel, by receiver.
   */
  async look(): Promise<readonly [Received[], Received[]]> {
    const base = this.#base;
    let now = base;
    await eventually(
      async () => {
        this.#assertAlive();
        now = await this.status();
        return isBack(now, base);
      },
      () => `nothing to be left behind: ${JSON.stringify({ now, base })}`,
    );
    await this.#talkOnce();
    this.#checkOutput();
    this.#checkMemory(now.memory_bytes);
    const shared = this.#pairs[1]?.foreign ?? [[], []];
    return [shared[0].splice(0), shared[1].splice(0)];
  }

  #assertAlive(): void {
    assert.ok(
      !this.staps.ended,
      `staps ended:\n${this.staps.stderr.slice(-2_000)}`,
    );
    for (const { failure } of this.#pairs) if (failure) throw failure;
  }

  /** Waits until each pair has sent something both ways that it hadn't begun before. */
  async #talkOnce(): Promise<void> {
    const before = this.#pairs.map(({ count }) => count);
    await eventually(
      () => {
        this.#assertAlive();
        return this.#pairs.every(({ count }, i) => count >= before[i]! + 4);
      },
      "the well-behaved clients to talk",
      { timeoutMs: 2 * eventTimeoutMs },
    );
  }

  #checkOutput(): void {
    const { stderr, stdout } = this.staps;
    assert.equal(stdout, "");
    // A line may have come in part.
    const fresh = stderr.slice(Math.max(0, this.#read - 1_000));
    this.#read = stderr.length;
    assert.doesNotMatch(
      fresh,
      /uncaught|unhandled|[a-z]Error:|\n\s+at |panic/i,
    );
    assert.ok(!fresh.toLowerCase().includes(canary), "a path is in the log");
  }

  #checkMemory(bytes: number): void {
    // Whatever is loaded and grown once is there after some looks.
    if (++this.#looks === 5) this.#warmBytes = bytes;
    if (this.#warmBytes === undefined) return;
    assert.ok(
      bytes <= this.#warmBytes + growthBytes,
      `Memory grew from ${this.#warmBytes} to ${bytes} bytes`,
    );
  }
}

/** Whether a node has no more than before. */
function isBack(now: Status, before: Status): boolean {
  return now.clients <= before.clients && now.channels <= before.channels &&
    now.buffered_bytes === 0 &&
    (now.open_fds ?? 0) <= (before.open_fds ?? 0) + 1;
}
