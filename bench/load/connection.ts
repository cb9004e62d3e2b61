/** One client of a server: joins a channel, publishes, and checks what comes back. */
import {
  concat,
  type Frame,
  frame,
  FrameReader,
  maskAt,
  opcodes,
} from "./frames.ts";
import { handshake, handshakeLength } from "./handshake.ts";
import { connect, send } from "./libc.ts";
import { blankPayload, get, lastByte, numbers, put } from "./payload.ts";
import type { Session } from "./session.ts";

/** Send times are kept for as many messages of a publisher. */
const sentTimes = 64;

/** The clients of one channel. */
export class Channel {
  readonly members: Connection[] = [];
  /** Deliveries that the turn under way still lacks. */
  remaining = 0;
  /** The place among the members of the one whose turn it is. */
  publisher = 0;

  constructor(readonly name: string) {}
}

/** A burst of a publisher's messages in one write; only their numbers change. */
interface Burst {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** From one frame to the next, and from a frame's start to its payload. */
  readonly frameBytes: number;
  readonly payloadAt: number;
}

/** A client's connection. */
export class Connection {
  readonly fd: number;
  readonly #reader = new FrameReader(this);
  #joined = false;
  #response = new Uint8Array();
  #unsent: Uint8Array<ArrayBuffer> | undefined;
  /** Whose messages it gets. */
  from = -1;
  #nextFrom = 0;
  #nextOwn = 0;
  #number = 0;
  #burst: Burst | undefined;
  #sentTimes: Float64Array | undefined;

  constructor(
    readonly session: Session,
    readonly index: number,
    readonly channel: Channel,
  ) {
    this.fd = connect(session.options.address);
    session.reactor.add(this);
    this.#write(handshake(channel.name));
  }

  /** Sends a burst of `count` messages in one write. */
  publish(count: number): void {
    const { bytes, frameBytes, payloadAt } = this.#burstOf(count);
    const last = this.session.options.bytes - 1;
    for (let i = 0; i < count; i++) {
      const at = i * frameBytes + payloadAt;
      put(this.#number, (j, byte) => bytes[at + 4 + j] = byte ^ maskAt(4 + j));
      bytes[at + last] = lastByte(this.#number) ^ maskAt(last);
      this.sentTimes()[this.#number % sentTimes] = performance.now();
      this.#number = (this.#number + 1) % numbers;
    }
    this.#write(bytes);
  }

  /** Gets the bytes of `count` messages, whose numbers are still to be written. */
  #burstOf(count: number): Burst {
    const kept = this.#burst;
    if (kept && kept.bytes.length === count * kept.frameBytes) return kept;
    const { bytes: payloadBytes, binary } = this.session.options;
    const payload = blankPayload(payloadBytes);
    put(this.index, (i, byte) => payload[i] = byte);
    const one = frame(binary ? opcodes.binary : opcodes.text, payload);
    const bytes = new Uint8Array(count * one.length);
    for (let i = 0; i < count; i++) bytes.set(one, i * one.length);
    return this.#burst = {
      bytes,
      frameBytes: one.length,
      payloadAt: one.length - payloadBytes,
    };
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
    if (this.#joined) this.#reader.read(data, count);
    else this.#onResponse(data.subarray(0, count));
  }

  #onResponse(data: Uint8Array<ArrayBuffer>): void {
    const response = concat(this.#response, data);
    const length = handshakeLength(response);
    if (length === 0) {
      this.#response = response;
      return;
    }
    this.#response = new Uint8Array();
    this.#joined = true;
    this.session.onJoined();
    const rest = response.slice(length);
    if (rest.length > 0) this.#reader.read(rest, rest.length);
  }

  onFrame(data: Uint8Array<ArrayBuffer>, told: Frame): void {
    if (told.opcode >= opcodes.close) this.#onControl(data, told);
    else this.#onMessage(data, told);
  }

  #onMessage(data: Uint8Array<ArrayBuffer>, { start, end }: Frame): void {
    const { session } = this;
    const { bytes, echo } = session.options;
    const publisher = get(data, start);
    const number = get(data, start + 4);
    if (end - start !== bytes || data[end - 1] !== lastByte(number)) {
      throw new Error(
        `Client ${this.index} got a message of ${
          end - start
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
      echo && publisher === this.index && number === this.#nextOwn
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
    if (opcode === opcodes.close) {
      const code = payload.length >= 2 ? payload[0]! * 256 + payload[1]! : 1005;
      const reason = new TextDecoder().decode(payload.subarray(2));
      throw new Error(
        `The server closed client ${this.index}: ${code} "${reason}"`,
      );
    }
  }

  onEnd(): void {
    throw new Error(`The server closed client ${this.index}: no close frame`);
  }
}
