/**
 * Clients of one server: they connect, publish in turns, and check everything
 * that comes back.
 *
 * A *turn* is a burst of messages by one client of a channel. It ends when
 * every other client of the channel has received all of them; in a channel of
 * two the other one has the next turn.
 */
import { Channel, Connection } from "./connection.ts";
import { type Address, Poll, receive } from "./libc.ts";

/** Handshakes that may be under way at once. */
const maxHandshakes = 128;
/** How long all handshakes, or the turns under way at the end, may take before they count as lost. */
const connectLimitMs = 60_000;
const drainLimitMs = 15_000;
/** Bytes that one read takes at most. */
const readBytes = 1 << 18;

/** What a session is. */
export interface SessionOptions {
  /** Where clients connect. */
  address: Address;
  /** The server sends a message to its publisher too. */
  echo: boolean;
  channels: number;
  clientsPerChannel: number;
  /** Only so many channels have turns; all, unless given. */
  busyChannels?: number;
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
  /** How long the turns under way at the end may take; 15 s unless given. */
  limitMs?: number;
}

/** Clients of one server. */
export class Session {
  /** Connections whose server doesn't read at the moment. */
  readonly blocked = new Set<Connection>();
  /** How long each delivery took so far, in milliseconds. */
  readonly latenciesMs: number[] = [];
  readonly #poll = new Poll();
  readonly #buffer = new Uint8Array(readBytes);
  /** When the bytes that are handled now were read, in milliseconds. */
  #nowMs = 0;
  readonly #clients: Connection[] = [];
  readonly #channels: Channel[] = [];
  /** Channels for whom it will be the turn, in this order. */
  readonly #waiting: Channel[] = [];
  #joined = 0;
  #turns = 0;
  #burst = 1;
  /** Whether a turn's end begins another. */
  #isRunning = false;

  constructor(readonly options: SessionOptions) {}

  /** Connects all clients. */
  connect(): void {
    const { channels, clientsPerChannel, busyChannels } = this.options;
    for (let i = 0; i < channels; i++) {
      this.#channels.push(new Channel(crypto.randomUUID()));
    }
    this.#waiting.push(...this.#channels.slice(0, busyChannels));
    const total = channels * clientsPerChannel;
    const limitMs = performance.now() + connectLimitMs;
    while (this.#joined < total) {
      while (
        this.#clients.length < total &&
        this.#clients.length - this.#joined < maxHandshakes
      ) {
        // Channel by channel, so that most handshakes at one time differ in theirs.
        const index = this.#clients.length;
        const channel = this.#channels[index % channels]!;
        const client = new Connection(this, index, channel);
        this.#poll.add(client.fd, index);
        this.#clients.push(client);
        channel.members.push(client);
      }
      this.step(1000);
      checkTime(limitMs, `${total - this.#joined} clients haven't joined`);
    }
    for (const { members } of this.#channels) {
      members.forEach((member, i) => member.from = members[i === 0 ? 1 : 0]);
    }
  }

  /** Publishes for some seconds, then waits until everything has arrived. */
  run({ seconds, burst, window, limitMs = drainLimitMs }: RunOptions): void {
    const endMs = performance.now() + seconds * 1000;
    this.#burst = burst;
    this.#isRunning = true;
    for (const channel of this.#waiting.splice(0, window)) {
      this.#beginTurn(channel);
    }
    while (performance.now() < endMs) this.step(100);
    this.#isRunning = false;
    const drainedMs = performance.now() + limitMs;
    while (this.#turns > 0) {
      this.step(100);
      const missing = this.#channels.reduce(
        (sum, { remaining }) => sum + remaining,
        0,
      );
      checkTime(drainedMs, `${missing} deliveries are missing`);
    }
  }

  /** Handles what comes from the server, waiting for it at most `timeoutMs`; gets how many clients it came to. */
  step(timeoutMs: number): number {
    for (const client of this.blocked) {
      if (client.flush()) this.blocked.delete(client);
    }
    const count = this.#poll.wait(this.blocked.size > 0 ? 1 : timeoutMs);
    for (let i = 0; i < count; i++) {
      const client = this.#clients[this.#poll.ready(i)]!;
      const length = receive(client.fd, this.#buffer);
      if (length < 0) continue;
      if (length === 0) {
        throw new Error(
          `The server closed client ${client.index}: no close frame`,
        );
      }
      this.#nowMs = performance.now();
      client.onBytes(this.#buffer, length);
    }
    return count;
  }

  /** Handles what has come already, such as pings. */
  catchUp(): void {
    while (this.step(0) > 0);
  }

  /** A client has joined its channel. */
  onJoined(): void {
    this.#joined++;
  }

  /** A client has received a message that was sent at `sentMs`. */
  onDelivery(sentMs: number): void {
    this.latenciesMs.push(this.#nowMs - sentMs);
  }

  /** All clients of a channel have received a burst. */
  onTurnEnd(channel: Channel): void {
    this.#turns--;
    this.#waiting.push(channel);
    if (this.#isRunning) this.#beginTurn(this.#waiting.shift()!);
  }

  #beginTurn(channel: Channel): void {
    const { members } = channel;
    const receivers = members.length - (this.options.echo ? 0 : 1);
    channel.remaining = this.#burst * receivers;
    this.#turns++;
    const publisher = members[channel.publisher]!;
    if (members.length === 2) channel.publisher = 1 - channel.publisher;
    publisher.publish(this.#burst);
  }
}

function checkTime(limitMs: number, problem: string): void {
  if (performance.now() <= limitMs) return;
  throw new Error(`The server lost something: after its time limit ${problem}`);
}
