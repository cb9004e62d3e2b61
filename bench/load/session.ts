/**
 * Clients of one server: they connect, publish in turns, and check everything
 * that comes back.
 *
 * A *turn* is a burst of messages by one client of a channel. It ends when
 * every other client of the channel has received all of them; in a channel of
 * two the other one has the next turn.
 */
import { Channel, Connection } from "./connection.ts";
import type { Address } from "./libc.ts";
import type { Reactor } from "./reactor.ts";
import { Samples } from "./samples.ts";

/** Handshakes that may be under way at once. */
const maxHandshakes = 128;
/** How long a turn or a handshake may take before it counts as lost. */
const timeLimitMs = 15_000;

/** What a session is. */
export interface SessionOptions {
  /** Where clients connect. */
  address: Address;
  /** The server sends a message to its publisher too. */
  echo: boolean;
  channels: number;
  clientsPerChannel: number;
  /** Size of a message. */
  bytes: number;
  binary: boolean;
}

/** What happens during {@linkcode Session.run}. */
export interface RunOptions {
  seconds: number;
  /** Messages in a turn. */
  burst: number;
  /** Channels with a turn under way at any time. */
  window: number;
  /** Only so many channels have turns; all, unless given. */
  busyChannels?: number;
}

/** What came of {@linkcode Session.run}. */
export interface RunResult {
  seconds: number;
  deliveries: number;
}

/** Clients of one server. */
export class Session {
  readonly clients: Connection[] = [];
  readonly samples = new Samples();
  readonly #channels: Channel[] = [];
  #joined = 0;
  #deliveries = 0;
  #turns = 0;
  #nextChannel = 0;
  #busyChannels = 0;
  #burst = 1;
  /** Whether a turn's end begins another. */
  #isRunning = false;
  #failure: unknown;

  constructor(
    readonly reactor: Reactor,
    readonly options: SessionOptions,
  ) {}

  /** Connects all clients. */
  connect(): void {
    const { channels, clientsPerChannel } = this.options;
    for (let i = 0; i < channels; i++) {
      this.#channels.push(new Channel(crypto.randomUUID()));
    }
    const total = channels * clientsPerChannel;
    const limit = performance.now() + timeLimitMs * 4;
    while (this.#joined < total) {
      while (
        this.clients.length < total &&
        this.clients.length - this.#joined < maxHandshakes
      ) {
        // Channel by channel, so that most handshakes at one time differ in theirs.
        const channel = this.#channels[this.clients.length % channels]!;
        const client = new Connection(this, this.clients.length, channel);
        this.clients.push(client);
        channel.members.push(client);
      }
      this.reactor.step(1000);
      this.#checkTime(limit, `${total - this.#joined} clients haven't joined`);
    }
    for (const { members } of this.#channels) {
      members.forEach((member, i) =>
        member.from = members[i === 0 ? 1 : 0]?.index ?? -1
      );
    }
  }

  /** Publishes for some seconds, then waits until everything has arrived. */
  run(options: RunOptions): RunResult {
    const start = performance.now();
    this.#checkTime(Infinity, "");
    const before = this.#deliveries;
    const end = start + options.seconds * 1000;
    this.#burst = options.burst;
    this.#isRunning = true;
    this.#busyChannels = options.busyChannels ?? this.#channels.length;
    const window = Math.min(options.window, this.#busyChannels);
    for (let i = 0; i < window; i++) this.#beginTurn(this.#takeChannel());
    while (performance.now() < end) {
      this.reactor.step(100);
      this.#checkTime(Infinity, "");
    }
    this.#isRunning = false;
    this.#drain();
    return {
      seconds: (performance.now() - start) / 1000,
      deliveries: this.#deliveries - before,
    };
  }

  #takeChannel(): Channel {
    const channel = this.#channels[this.#nextChannel]!;
    this.#nextChannel = (this.#nextChannel + 1) % this.#busyChannels;
    return channel;
  }

  #beginTurn(channel: Channel): void {
    const { members } = channel;
    channel.remaining = this.#burst *
      (members.length - (this.options.echo ? 0 : 1));
    this.#turns++;
    const publisher = members[channel.publisher]!;
    if (members.length === 2) channel.publisher = 1 - channel.publisher;
    publisher.publish(this.#burst);
  }

  onTurnEnd(channel: Channel): void {
    this.#turns--;
    if (!this.#isRunning) return;
    // Everyone's turn comes, unless all have one at the same time anyway.
    this.#beginTurn(
      this.#turns + 1 === this.#channels.length
        ? channel
        : this.#takeFreeChannel(),
    );
  }

  #takeFreeChannel(): Channel {
    let channel = this.#takeChannel();
    while (channel.remaining > 0) channel = this.#takeChannel();
    return channel;
  }

  onDelivery(latencyMs: number): void {
    this.#deliveries++;
    this.samples.add(latencyMs);
  }

  onJoined(): void {
    this.#joined++;
  }

  #drain(): void {
    const limit = performance.now() + timeLimitMs;
    while (this.#turns > 0) {
      this.reactor.step(100);
      const missing = this.#channels.reduce(
        (sum, { remaining }) => sum + remaining,
        0,
      );
      this.#checkTime(limit, `${missing} deliveries are missing`);
    }
  }

  /** Ends the session because of `error`, which whoever waits for the session will get. */
  fail(error: unknown): void {
    this.#failure ??= error;
    this.close();
  }

  #checkTime(limit: number, problem: string): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (performance.now() > limit) {
      throw new Error(
        `The server lost something: after its time limit ${problem}`,
      );
    }
  }

  /** Disconnects all clients at once. */
  close(): void {
    for (const client of this.clients) this.reactor.remove(client);
    this.clients.length = 0;
  }
}
