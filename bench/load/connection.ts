/** One client of a server: joins a channel, publishes, and checks what comes back. */
import {
  concat,
  frameBytes,
  type FrameListener,
  FrameReader,
  maskKey,
  opcodes,
  readClose,
  type Told,
} from "../../tools/frames.ts";
import { handshakeBytes, isUpgrade, readHead } from "../../tools/handshake.ts";
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
  readonly stepBytes: number;
  readonly payloadAt: number;
}

/** A client's connection. */
export class Connection implements FrameListener {
  readonly fd: number;
  /** Whose messages it gets. */
  from: Connection | undefined;
  readonly #reader = new FrameReader(this);
  /** What came of the answer to the handshake, until that is whole. */
  #response: Uint8Array | undefined = new Uint8Array();
  /** What the server didn't take yet. */
  #unsent: Uint8Array<ArrayBuffer> | undefined;
  #nextFrom = 0;
  #nextOwn = 0;
  #number = 0;
  #burst: Burst | undefined;
  /** When its last messages were sent, by their number. */
  readonly #sentTimes: number[] = [];

  constructor(
    readonly session: Session,
    readonly index: number,
    readonly channel: Channel,
  ) {
    this.fd = connect(session.options.address);
    this.#write(handshakeBytes({ path: `/${channel.name}` }));
  }

  /** Sends a burst of `count` messages in one write. */
  publish(count: number): void {
    const { bytes, stepBytes, payloadAt } = this.#burstOf(count);
    const last = this.session.options.bytes - 1;
    for (let i = 0; i < count; i++) {
      const at = i * stepBytes + payloadAt;
      put(this.#number, (j, byte) => bytes[at + 4 + j] = byte ^ maskKey[j]!);
      bytes[at + last] = lastByte(this.#number) ^ maskKey[last & 3]!;
      this.#sentTimes[this.#number % sentTimes] = performance.now();
      this.#number = (this.#number + 1) % numbers;
    }
    this.#write(bytes);
  }

  /** Gets the bytes of `count` messages, whose numbers are still to be written. */
  #burstOf(count: number): Burst {
    const kept = this.#burst;
    if (kept && kept.bytes.length === count * kept.stepBytes) return kept;
    const { bytes: payloadBytes, binary } = this.session.options;
    const payload = blankPayload(payloadBytes);
    put(this.index, (i, byte) => payload[i] = byte);
    const one = frameBytes(binary ? opcodes.binary : opcodes.text, payload);
    return this.#burst = {
      bytes: concat(new Array(count).fill(one)),
      stepBytes: one.length,
      payloadAt: one.length - payloadBytes,
    };
  }

  #write(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#unsent !== undefined) {
      throw new Error(
        "Cannot publish: the server reads too slowly for this workload",
      );
    }
    const count = send(this.fd, bytes);
    if (count === bytes.length) return;
    this.#unsent = bytes.slice(count);
    this.session.blocked.add(this);
  }

  /** Sends what the server didn't take before, and gets whether all of it is sent now. */
  flush(): boolean {
    const bytes = this.#unsent!;
    const count = send(this.fd, bytes);
    this.#unsent = count === bytes.length ? undefined : bytes.slice(count);
    return this.#unsent === undefined;
  }

  /** Takes the first `count` bytes of `data`. */
  onBytes(data: Uint8Array<ArrayBuffer>, count: number): void {
    if (this.#response === undefined) this.#reader.read(data, count);
    else this.#onResponse(concat([this.#response, data.subarray(0, count)]));
  }

  #onResponse(response: Uint8Array<ArrayBuffer>): void {
    this.#response = response;
    const head = readHead(response);
    if (head === undefined) return;
    if (!isUpgrade(head)) {
      const [line] = head.head.split("\r\n");
      throw new Error(
        `The server refused a client: got "${line}", expected status 101 with the accept of RFC 6455 section 1.3`,
      );
    }
    this.#response = undefined;
    this.session.onJoined();
    const rest = response.subarray(head.length);
    this.#reader.read(rest, rest.length);
  }

  /** @ignore Its {@linkcode FrameReader} tells of a frame. */
  onFrame(data: Uint8Array<ArrayBuffer>, told: Told): void {
    if (told.opcode < opcodes.close) return this.#onMessage(data, told);
    const payload = data.slice(told.start, told.end);
    if (told.opcode === opcodes.ping) {
      this.#write(frameBytes(opcodes.pong, payload));
    }
    if (told.opcode === opcodes.close) {
      const { code, reason } = readClose(payload);
      throw new Error(
        `The server closed client ${this.index}: ${code} "${reason}"`,
      );
    }
  }

  #onMessage(data: Uint8Array<ArrayBuffer>, { start, end }: Told): void {
    const { session, from } = this;
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
    if (publisher === from!.index && number === this.#nextFrom) {
      this.#nextFrom = (number + 1) % numbers;
      session.onDelivery(from!.#sentTimes[number % sentTimes]!);
    } else if (
      echo && publisher === this.index && number === this.#nextOwn
    ) {
      this.#nextOwn = (number + 1) % numbers;
    } else {
      const expected = `number ${this.#nextFrom} of ${from!.index}`;
      throw new Error(
        `Client ${this.index} got message ${number} of client ${publisher}: expected ${expected}`,
      );
    }
    if (--this.channel.remaining === 0) session.onTurnEnd(this.channel);
  }
}
