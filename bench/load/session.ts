/**
 * Clients of one server: they connect, publish in turns, and check everything
 * that comes back.
 *
 * A *turn* is a burst of messages by one client of a channel. It ends when
 * every other client of the channel has received all of them; in a channel of
 * two the other one has the next turn.
 */
import { type Frame, frame, FrameReader, maskAt, opcodes } from "./frames.ts";
import { type Address, close, connect, Poll, receive, send } from "./libc.ts";
import { blankPayload, get, lastByte, numbers, put } from "./payload.ts";
import {
  handshake,
  handshakeLength,
  type Protocol,
  type Publication,
} from "./protocols.ts";
import { Samples } from "./samples.ts";

/** Handshakes that may be under way at once. */
const maxHandshakes = 128;
/** Bytes that one read takes at most. */
const readBytes = 1 << 18;
/** How long a turn or a handshake may take before it counts as lost. */
const timeLimitMs = 15_000;
/** How long a churning client stays. */
const churnStayMs = 20;
/** Channels that churning clients share. */
const churnChannels = 10;
/** Send times are kept for as many messages of a publisher. */
const sentTimes = 64;

/** All connections of this process, of whatever session. */
export class Reactor {
  readonly #poll = new Poll();
  readonly #buffer = new Uint8Array(readBytes);
  readonly #connections: (Connection | undefined)[] = [];
  readonly #blocked = new Set<Connection>();
  /** When the bytes that are handled now were read, in milliseconds. */
  now = performance.now();

  add(connection: Connection): void {
    this.#connections[connection.fd] = connection;
    this.#poll.add(connection.fd);
  }

  remove(connection: Connection): void {
    this.#connections[connection.fd] = undefined;
    this.#blocked.delete(connection);
    close(connection.fd);
  }

  /** Remembers a connection whose server doesn't read at the moment. */
  block(connection: Connection): void {
    this.#blocked.add(connection);
  }

  /** Handles what is there, waiting for it at most `timeoutMs`. */
  step(timeoutMs: number): void {
    for (const connection of this.#blocked) {
      if (connection.flush()) this.#blocked.delete(connection);
    }
    const count = this.#poll.wait(this.#blocked.size > 0 ? 1 : timeoutMs);
    this.now = performance.now();
    for (let i = 0; i < count; i++) {
      const connection = this.#connections[this.#poll.ready(i)];
      if (connection === undefined) continue;
      const length = receive(connection.fd, this.#buffer);
      if (length < 0) continue;
      this.now = performance.now();
      try {
        if (length === 0) connection.onEnd();
        else connection.onBytes(this.#buffer, length);
      } catch (error) {
        // It may be another session than the one that waits.
        connection.session.fail(error);
      }
    }
  }
}

/** The clients of one channel. */
class Channel {
  readonly members: Connection[] = [];
  /** Deliveries that the turn under way still lacks. */
  remaining = 0;
  publisher = 0;

  constructor(readonly name: string) {}
}

/** Where a connection is in its life. */
type State = "handshake" | "hello" | "joined" | "leaving";

/** One client. */
class Connection {
  readonly fd: number;
  readonly #reader = new FrameReader(this);
  #state: State = "handshake";
  #hello: Uint8Array<ArrayBuffer>[] = [];
  #response: Uint8Array<ArrayBuffer> | undefined;
  #unsent: Uint8Array<ArrayBuffer> | undefined;
  /** Whose messages it gets. */
  from = -1;
  #nextFrom = 0;
  #nextOwn = 0;
  #number = 0;
  #publications:
    | { whole: Uint8Array<ArrayBuffer>; one: Publication }
    | undefined;
  #sentTimes: Float64Array | undefined;

  constructor(
    readonly session: Session,
    readonly index: number,
    readonly channel: Channel,
  ) {
    // Members of a channel are neighbours here, so that they spread over all addresses.
    const { addresses } = session.options;
    this.fd = connect(addresses[channel.members.length % addresses.length]!);
    session.reactor.add(this);
    this.#write(handshake(session.protocol, channel.name));
  }

  /** Sends a burst of messages in one write. */
  publish(burst: number): void {
    const { session } = this;
    const { bytes: payloadBytes, binary } = session.options;
    if (this.#publications === undefined) {
      const payload = blankPayload(payloadBytes);
      put(this.index, (i, byte) => payload[i] = byte);
      const one = session.protocol.publish(this.channel.name, {
        payload,
        binary,
      });
      this.#publications = { whole: new Uint8Array(), one };
    }
    const { one } = this.#publications;
    const { length } = one.bytes;
    if (this.#publications.whole.length !== burst * length) {
      const whole = new Uint8Array(burst * length);
      for (let i = 0; i < burst; i++) whole.set(one.bytes, i * length);
      this.#publications.whole = whole;
    }
    const { whole } = this.#publications;
    for (let i = 0; i < burst; i++) {
      const at = i * length + one.payloadAt;
      put(
        this.#number,
        (j, byte) => whole[at + 4 + j] = byte ^ maskAt(one.maskPhase + 4 + j),
      );
      const last = payloadBytes - 1;
      whole[at + last] = lastByte(this.#number) ^ maskAt(one.maskPhase + last);
      this.sentTimes()[this.#number % sentTimes] = performance.now();
      this.#number = (this.#number + 1) % numbers;
    }
    this.#write(whole);
  }

  /** When its last messages were sent, by their number; made for publishers only. */
  sentTimes(): Float64Array {
    return this.#sentTimes ??= new Float64Array(sentTimes);
  }

  #write(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#unsent !== undefined) {
      throw new Error(
        "Cannot publish: the server reads too slowly for this workload",
      );
    }
    const count = send(this.fd, bytes);
    if (count === bytes.length) return;
    this.#unsent = bytes.slice(Math.max(0, count));
    this.session.reactor.block(this);
  }

  /** Gets whether everything is sent now. */
  flush(): boolean {
    const bytes = this.#unsent;
    if (bytes === undefined) return true;
    const count = send(this.fd, bytes);
    this.#unsent = count === bytes.length
      ? undefined
      : bytes.slice(Math.max(0, count));
    return this.#unsent === undefined;
  }

  onBytes(data: Uint8Array<ArrayBuffer>, count: number): void {
    if (this.#state === "handshake") this.#onResponse(data.slice(0, count));
    else this.#reader.read(data, count);
  }

  #onResponse(data: Uint8Array<ArrayBuffer>): void {
    if (this.#response) {
      const both = new Uint8Array(this.#response.length + data.length);
      both.set(this.#response);
      both.set(data, this.#response.length);
      data = both;
    }
    const length = handshakeLength(data);
    if (length === 0) {
      this.#response = data;
      return;
    }
    this.#response = undefined;
    const { protocol } = this.session;
    this.#hello = protocol.hello(this.channel.name);
    this.#state = "hello";
    if (!protocol.greeted) this.#sayHello();
    if (length < data.length) {
      this.#reader.read(data.slice(length), data.length - length);
    }
  }

  #sayHello(): void {
    const next = this.#hello.shift();
    if (next) {
      this.#write(next);
      return;
    }
    this.#state = "joined";
    this.session.onJoined(this);
  }

  onFrame(data: Uint8Array<ArrayBuffer>, told: Frame): void {
    if (told.opcode >= opcodes.close) {
      this.#onControl(data, told);
      return;
    }
    if (this.#state === "hello") {
      this.#sayHello();
      return;
    }
    const { session } = this;
    const at = session.protocol.find(data, told);
    if (at < 0) {
      const answer = session.protocol.answer?.(data, told);
      if (answer) this.#write(answer);
      return;
    }
    const { bytes } = session.options;
    const publisher = get(data, at);
    const number = get(data, at + 4);
    if (
      told.end - at - session.trailerBytes !== bytes ||
      data[at + bytes - 1] !== lastByte(number)
    ) {
      throw new Error(
        `Client ${this.index} got a message of ${
          told.end - at
        } bytes: expected ${bytes} unchanged`,
      );
    }
    if (publisher === this.from && number === this.#nextFrom) {
      this.#nextFrom = (number + 1) % numbers;
      session.onDelivery(
        session.reactor.now -
          session.clients[publisher]!.sentTimes()[number % sentTimes]!,
      );
    } else if (
      publisher === this.index && number === this.#nextOwn &&
      session.options.echo
    ) {
      this.#nextOwn = (number + 1) % numbers;
    } else {
      const expected = `number ${this.#nextFrom} of ${this.from}`;
      throw new Error(
        `Client ${this.index} got message ${number} of client ${publisher}: expected ${expected}`,
      );
    }
    if (--this.channel.remaining === 0) session.onTurnEnd(this.channel);
  }

  #onControl(
    data: Uint8Array<ArrayBuffer>,
    { opcode, start, end }: Frame,
  ): void {
    const payload = data.slice(start, end);
    if (opcode === opcodes.ping) this.#write(frame(opcodes.pong, payload));
    if (opcode === opcodes.close && this.#state !== "leaving") {
      const code = payload.length >= 2 ? payload[0]! * 256 + payload[1]! : 1005;
      const reason = new TextDecoder().decode(payload.subarray(2));
      throw new Error(
        `The server closed client ${this.index}: ${code} "${reason}"`,
      );
    }
  }

  /** Says goodbye; {@linkcode Session.onLeft} follows. */
  leave(): void {
    this.#state = "leaving";
    this.#write(frame(opcodes.close, new Uint8Array([0x03, 0xe8])));
  }

  onEnd(): void {
    this.session.reactor.remove(this);
    if (this.#state !== "leaving") {
      throw new Error(`The server closed client ${this.index}: no close frame`);
    }
    this.session.onLeft();
  }
}

/** What a session is. */
export interface SessionOptions {
  /** Where clients connect, in turn. */
  addresses: Address[];
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
  /** Begins as many turns a second instead, however long they take. */
  turnsPerSecond?: number;
  /** Beside it, as many clients a second join and leave other channels. */
  churnPerSecond?: number;
}

/** What came of {@linkcode Session.run}. */
export interface RunResult {
  seconds: number;
  messages: number;
  deliveries: number;
  /** Clients that joined and left. */
  churned: number;
  /** Turns that began late because the channel's last one wasn't over: with `turnsPerSecond` only. */
  late: number;
}

/** Clients of one server. */
export class Session {
  readonly clients: Connection[] = [];
  readonly samples = new Samples();
  readonly trailerBytes: number;
  readonly #channels: Channel[] = [];
  #joined = 0;
  #left = 0;
  #deliveries = 0;
  #messages = 0;
  #turns = 0;
  #nextChannel = 0;
  #busyChannels = 0;
  #burst = 1;
  /** Whether a turn's end begins another. */
  #isClosedLoop = false;
  #churners: { connection: Connection; leaveAt: number }[] = [];
  #churnersWaiting = 0;
  #failure: unknown;

  constructor(
    readonly reactor: Reactor,
    readonly protocol: Protocol,
    readonly options: SessionOptions,
  ) {
    this.trailerBytes = protocol.trailerBytes(options.binary);
  }

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
    const before = {
      deliveries: this.#deliveries,
      messages: this.#messages,
      left: this.#left,
    };
    const end = start + options.seconds * 1000;
    this.#burst = options.burst;
    this.#isClosedLoop = options.turnsPerSecond === undefined;
    this.#busyChannels = options.busyChannels ?? this.#channels.length;
    const window = Math.min(options.window, this.#busyChannels);
    if (this.#isClosedLoop) {
      for (let i = 0; i < window; i++) this.#beginTurn(this.#takeChannel());
    }
    let begun = 0;
    let late = 0;
    let churnBegun = 0;
    for (;;) {
      const now = performance.now();
      if (now >= end) break;
      const elapsed = (now - start) / 1000;
      for (; begun < elapsed * (options.turnsPerSecond ?? 0); begun++) {
        const channel = this.#takeChannel();
        if (channel.remaining > 0) late++;
        else this.#beginTurn(channel);
      }
      for (
        ;
        churnBegun < elapsed * (options.churnPerSecond ?? 0);
        churnBegun++
      ) this.#churn(churnBegun);
      this.#endChurn(now);
      this.reactor.step(this.#isClosedLoop ? 100 : 1);
      this.#checkTime(Infinity, "");
    }
    this.#isClosedLoop = false;
    this.#drain();
    return {
      seconds: (performance.now() - start) / 1000,
      messages: this.#messages - before.messages,
      deliveries: this.#deliveries - before.deliveries,
      churned: this.#left - before.left,
      late,
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
    this.#messages += this.#burst;
    const publisher = members[channel.publisher]!;
    if (members.length === 2) channel.publisher = 1 - channel.publisher;
    publisher.publish(this.#burst);
  }

  onTurnEnd(channel: Channel): void {
    this.#turns--;
    if (!this.#isClosedLoop) return;
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

  onJoined(connection: Connection): void {
    if (connection.index >= 0) this.#joined++;
    else {this.#churners.push({
        connection,
        leaveAt: this.reactor.now + churnStayMs,
      });}
  }

  onLeft(): void {
    this.#left++;
    this.#churnersWaiting--;
  }

  #churn(number: number): void {
    this.#churnersWaiting++;
    const channel = `00000000-0000-4000-8000-00000000000${
      number % churnChannels
    }`;
    new Connection(this, -1, new Channel(channel));
  }

  #endChurn(now: number): void {
    while (
      this.#churners[0] !== undefined && this.#churners[0].leaveAt <= now
    ) {
      this.#churners.shift()!.connection.leave();
    }
  }

  #drain(): void {
    const limit = performance.now() + timeLimitMs;
    while (this.#turns > 0 || this.#churnersWaiting > 0) {
      this.reactor.step(this.#churnersWaiting > 0 ? 1 : 100);
      this.#endChurn(performance.now());
      const missing = this.#channels.reduce(
        (sum, { remaining }) => sum + remaining,
        0,
      );
      this.#checkTime(
        limit,
        `${missing} deliveries are missing, ${this.#churnersWaiting} clients haven't left`,
      );
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
