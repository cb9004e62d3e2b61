/** Real connections over a unix socket; time passes only when a test says so. */
import assert from "node:assert/strict";
import { messageFrame } from "../../src/listener/frames.ts";
import { ticksPerS } from "../../src/listener/silence.ts";
import { WebSocketConnection } from "../../src/listener/websocket.ts";
import { pieceOverheadBytes } from "../../src/listener/write_queue.ts";
import { boundSockets } from "./unix_sockets.ts";
import { Recorder } from "../helpers/listener_contract.ts";
import { eventually, pause } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import {
  closePayload,
  concat,
  frameBytes,
  opcodes,
  RawClient,
  readClose,
} from "../../tools/raw_client.ts";

const { text, binary, close, ping, pong } = opcodes;
const limits = { messageBytes: 1000, idleTimeoutS: 10, closeTimeoutS: 2 };
const idleTicks = limits.idleTimeoutS * ticksPerS;
const closeTicks = limits.closeTimeoutS * ticksPerS;

interface PairOptions {
  readonly conn: Deno.Conn;
  readonly client: RawClient;
  /** Of the unix socket. */
  readonly path: string;
  /** What came with the request. */
  readonly rest: Uint8Array;
}

/** A WebSocket with a handler that remembers what it was told, and the client at its other end. */
class Pair extends Recorder implements AsyncDisposable {
  override readonly socket: WebSocketConnection;
  readonly client: RawClient;
  readonly #path: string;

  constructor({ conn, client, path, rest }: PairOptions) {
    super();
    this.client = client;
    this.#path = path;
    this.socket = new WebSocketConnection({
      ...{ conn, limits, rest, handler: this },
      onEnded: () => this.events.push("ended"),
      onHandlerError: (error) =>
        this.events.push(`error ${(error as Error).message}`),
    });
  }

  /** Waits until the handler was told `count` things. */
  async heard(count: number): Promise<void> {
    const { events } = this;
    await eventually(() => events.length >= count, () => `${count}: ${events}`);
  }

  /** Checks all that the handler and the owner were told, separated by commas. */
  assertTold(expected: string): void {
    assert.equal(this.events.join(", "), expected);
  }

  /** Waits for the end, and checks all that was told before it. */
  async assertEnds(expected: string): Promise<void> {
    await this.saw("ended");
    this.assertTold(`${expected}, ended`);
  }

  /** Checks that the next frame is this close frame. */
  async assertCloseFrame(code: number, reason = ""): Promise<void> {
    const frame = await this.client.readFrame();
    assert.equal(frame?.opcode, close);
    assert.deepEqual(readClose(frame.payload), { code, reason });
  }

  /** Sends messages and control frames at once. */
  send(
    ...frames: [opcode: number, data: Uint8Array | string][]
  ): Promise<void> {
    return this.client.write(
      concat(frames.map(([opcode, data]) => frameBytes(opcode, data))),
    );
  }

  /** Lets time pass, by default a tick. */
  pass(ticks = 1): void {
    for (let i = 0; i < ticks; i++) this.socket.tick();
  }

  /** Sends more than the kernel takes; gets what is queued then. */
  async stall(): Promise<number> {
    const { socket } = this;
    socket.send(messageFrame(new Uint8Array(8 << 20), { isText: false }));
    let queued;
    do {
      queued = socket.queuedBytes;
      await pause(20);
    } while (queued !== socket.queuedBytes);
    return queued;
  }

  /** Ends it, and checks that nothing of it is left behind. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    this.client.close();
    assert.equal(this.events.filter((what) => what === "ended").length, 1);
    const path = this.#path;
    await eventually(() => boundSockets(path) === 0, "the end of the socket");
  }
}

async function startPair(
  { rest = new Uint8Array(0), isStarted = true } = {},
): Promise<Pair> {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/socket`;
  using listener = Deno.listen({ transport: "unix", path });
  const client = await RawClient.connect({ socket: path });
  const conn = await listener.accept();
  assert.ok(boundSockets(path) > 0);
  const one = new Pair({ conn, client, path, rest });
  if (isStarted) one.socket.start();
  return one;
}

Deno.test("WebSocketConnection hands over what came with the request first", async () => {
  await using one = await startPair({ rest: frameBytes(text, "a") });
  await one.send([text, "b"]);
  await one.heard(3);
  one.assertTold("opened, text a, text b");
});

Deno.test("WebSocketConnection keeps a flood of pings from growing its queue", async () => {
  await using one = await startPair();
  const stalled = await one.stall();
  const flood = Array(5000).fill([ping, "x".repeat(125)]);
  await one.send(...flood, [text, "end"]);
  await one.heard(2);
  const grown = one.socket.queuedBytes - stalled;
  assert.ok(grown <= 16 * (127 + pieceOverheadBytes), `${grown} bytes`);
});

Deno.test("WebSocketConnection waits with a message that isn't taken, and reads no further", async () => {
  await using one = await startPair();
  one.onMessage = () => false;
  await one.send([ping, "p"], [text, "a"], [text, "b"]);
  assert.equal((await one.client.readFrame())!.opcode, pong);
  await one.heard(2);
  // More than the kernel and a buffer would take.
  let isWritten = false;
  const flood = Array(4000).fill([binary, new Uint8Array(900)]);
  const written = one.send(...flood).then(() => isWritten = true);
  one.pass(100 * ticksPerS);
  await pause(100);
  assert.equal(isWritten, false);
  one.assertTold("opened, text a");
  one.onMessage = () => true;
  one.socket.resume();
  await written;
  await one.heard(4 + 4000);
  const events = one.events.slice(0, 4);
  assert.deepEqual(events, ["opened", "text a", "text a", "text b"]);
  assert.equal(one.messages.at(-1)!.payload.length, 900);
});

Deno.test("WebSocketConnection closes while a message waits, and hands it over no more", async () => {
  await using one = await startPair();
  one.onMessage = () => false;
  await one.send([text, "a"]);
  await one.heard(2);
  one.socket.close(1001, "away");
  assert.equal(one.socket.state, "closing");
  await one.assertCloseFrame(1001, "away");
  await one.send([close, closePayload(1001)]);
  await one.assertEnds("opened, text a, closed 1001");
});

for (
  const [name, payload, code] of [
    ["its code", closePayload(4321, "why"), 4321],
    ["no code", new Uint8Array(0), 1005],
  ] as const
) {
  Deno.test(`WebSocketConnection answers a close frame with ${name}, behind what is queued`, async () => {
    await using one = await startPair();
    one.socket.send(frameBytes(text, "last", { mask: false }));
    await one.send([close, payload], [text, "late"]);
    assert.equal((await one.client.readFrame())!.payload.length, 4);
    await one.assertCloseFrame(code);
    assert.equal(await one.client.readFrame(), undefined);
    await one.assertEnds(`opened, goodbye, closed ${code}`);
    assert.equal(one.socket.queuedBytes, 0);
  });
}

Deno.test("WebSocketConnection close() ignores all but the answer", async () => {
  await using one = await startPair();
  one.socket.close(1012, "again");
  one.socket.close(1000, "twice");
  one.socket.send(frameBytes(text, "late", { mask: false }));
  await one.assertCloseFrame(1012, "again");
  await one.send(
    ...[[text, "unheard"], [ping, "unanswered"]] as [number, string][],
    [binary, new Uint8Array(100_000)],
    [close, closePayload(1000)],
  );
  assert.equal(await one.client.readFrame(), undefined);
  await one.assertEnds("opened, closed 1000");
});

Deno.test("WebSocketConnection ends a client that never answers a close frame, in time", async () => {
  await using one = await startPair();
  await one.stall();
  one.socket.close(1000, "");
  assert.ok(one.socket.queuedBytes > 0);
  one.pass(closeTicks);
  assert.equal(one.socket.state, "closing");
  one.pass();
  assert.equal(one.socket.state, "closed");
  assert.equal(one.socket.queuedBytes, 0);
  one.assertTold("opened, closed undefined, ended");
  await one.client.readToEnd();
});

const unmasked = ["protocol", 1002, "frame without a mask"] as const;
const notUtf8 = ["not_utf8", 1007, "text message is not UTF-8"] as const;
const tooBig = ["too_big", 1009, "message over 1000 bytes"] as const;
for (
  const [name, frame, [fault, code, reason]] of [
    ["an unmasked frame", frameBytes(text, "a", { mask: false }), unmasked],
    ["bad UTF-8", frameBytes(text, Uint8Array.of(0xff)), notUtf8],
    ["a large message", frameBytes(binary, new Uint8Array(1001)), tooBig],
    ["a huge message", frameBytes(binary, new Uint8Array(3 << 20)), tooBig],
  ] as const
) {
  Deno.test(`WebSocketConnection tells a client that sends ${name} why it ends`, async () => {
    await using one = await startPair();
    await one.client.write(
      concat([frameBytes(text, "good"), frame, frameBytes(text, "late")]),
    );
    await one.assertCloseFrame(code, reason);
    assert.equal(await one.client.readFrame(), undefined);
    one.client.close();
    await one.assertEnds(
      `opened, text good, faulted ${fault}, closed undefined`,
    );
  });
}

Deno.test("WebSocketConnection reads 16 MiB at most of a client that broke a rule", async () => {
  await using one = await startPair();
  await one.client.send(text, "a", { mask: false });
  const written = one.client.write(new Uint8Array(17 << 20)).catch(() => {});
  await one.assertEnds("opened, faulted protocol, closed undefined");
  await written;
});

Deno.test("WebSocketConnection ends a client that broke a rule and stays, in time", async () => {
  await using one = await startPair();
  await one.client.send(text, "a", { mask: false });
  await one.assertCloseFrame(1002, "frame without a mask");
  one.pass(closeTicks + 1);
  assert.equal(one.socket.state, "closed");
});

Deno.test("WebSocketConnection still reads what a client sent before it hung up, when writing fails", async () => {
  await using one = await startPair({ rest: frameBytes(ping, "also in vain") });
  await one.send([text, "bye"]);
  one.client.close();
  one.socket.send(frameBytes(text, "in vain", { mask: false }));
  await one.assertEnds("opened, text bye, closed undefined");
});

Deno.test("WebSocketConnection pings a silent client after half of the idle timeout, once, and hears it", async () => {
  await using one = await startPair();
  one.pass(idleTicks / 2 - 1);
  assert.equal(one.socket.queuedBytes, 0);
  one.pass(idleTicks / 2 + 1);
  assert.equal((await one.client.readFrame())!.opcode, ping);
  await one.send([pong, ""], [text, "here"]);
  await one.heard(2);
  one.pass(idleTicks);
  assert.equal((await one.client.readFrame())!.opcode, ping);
  assert.equal(one.socket.state, "open");
});

Deno.test("WebSocketConnection gives a client up that answers no ping", async () => {
  await using one = await startPair();
  one.pass(idleTicks);
  assert.equal((await one.client.readFrame())!.opcode, ping);
  await eventually(() => one.socket.queuedBytes === 0, "an empty queue");
  one.pass();
  await one.assertCloseFrame(1001, "no answer to a ping");
  one.pass();
  one.assertTold("opened, faulted idle, closed undefined, ended");
});

Deno.test("WebSocketConnection gives a client up at once that takes nothing either", async () => {
  await using one = await startPair();
  await one.stall();
  one.pass(idleTicks + 1);
  one.assertTold("opened, faulted idle, closed undefined, ended");
  assert.equal(one.socket.queuedBytes, 0);
});

Deno.test("WebSocketConnection knows that a client lives which takes what is before its ping", async () => {
  await using one = await startPair();
  await one.stall();
  one.pass(idleTicks / 2);
  for (let i = 0; i < 4; i++) {
    one.pass(idleTicks / 2 - 1);
    const { queuedBytes } = one.socket;
    await eventually(async () => {
      await one.client.readText(512 * 1024);
      return one.socket.queuedBytes < queuedBytes;
    }, "the queue to shrink");
  }
  assert.equal(one.socket.state, "open");
  one.pass(idleTicks + 1);
  assert.deepEqual(one.events.slice(0, 2), ["opened", "faulted idle"]);
});

Deno.test("WebSocketConnection notices that a client hung up which it lets wait", async () => {
  await using one = await startPair();
  one.onMessage = () => false;
  await one.send([text, "held"]);
  await one.heard(2);
  one.client.close();
  one.pass(idleTicks / 2);
  await eventually(() => one.socket.state !== "open", "a write to fail");
  one.pass(closeTicks + 1);
  one.assertTold("opened, text held, closed undefined, ended");
});

Deno.test("WebSocketConnection looks after others after a thousand messages of one", async () => {
  await using one = await startPair();
  /** How many messages were there when a timer ran that the first of them set. */
  let whenTimerRan: number | undefined;
  one.onMessage = () => {
    if (whenTimerRan === undefined) {
      whenTimerRan = Infinity;
      setTimeout(() => whenTimerRan = one.messages.length, 0);
    }
    const endMs = performance.now() + 0.01;
    while (performance.now() < endMs);
    return true;
  };
  await one.send(...Array(3000).fill([text, "a"]));
  await one.heard(3001);
  assert.ok(whenTimerRan! < 3000);
});

const breakDown = (): never => {
  throw new Error("broken");
};

Deno.test("WebSocketConnection ends with 1011 when the handler throws, and nothing else ends", async () => {
  await using one = await startPair();
  one.onMessage = breakDown;
  await one.send([text, "a"], [text, "b"]);
  await one.assertCloseFrame(1011, "internal error");
  await one.send([close, closePayload(1011)]);
  await one.assertEnds(
    "opened, text a, error broken, faulted handler, closed 1011",
  );
});

Deno.test("WebSocketConnection tells one fault only, also if the handler throws then", async () => {
  await using one = await startPair();
  one.onFaulted = breakDown;
  await one.client.send(text, "a", { rsv: 7 });
  await one.assertCloseFrame(1011, "internal error");
  one.client.close();
  await one.assertEnds(
    "opened, faulted protocol, error broken, closed undefined",
  );
});

Deno.test("WebSocketConnection may be destroyed by its handler", async () => {
  await using one = await startPair();
  one.onMessage = () => {
    one.socket.destroy();
    return false;
  };
  await one.send([text, "a"], [text, "b"]);
  await one.assertEnds("opened, text a, closed undefined");
});

Deno.test("WebSocketConnection reads on for the answer if the handler closes and takes nothing", async () => {
  await using one = await startPair();
  one.onMessage = () => {
    one.socket.close(1000, "");
    return false;
  };
  await one.send([text, "a"]);
  await one.assertCloseFrame(1000);
  await one.send([close, closePayload(1000)]);
  await one.assertEnds("opened, text a, closed 1000");
});

Deno.test("WebSocketConnection tells once when its queue is small enough", async () => {
  await using one = await startPair();
  await one.stall();
  one.socket.tellBelow(1000);
  const read = one.client.readToEnd();
  await one.heard(2);
  one.assertTold("opened, caught up");
  assert.equal(one.socket.queuedBytes, 0);
  one.socket.tellBelow(0);
  assert.equal(one.events.length, 2, "never inside of the call");
  await one.heard(3);
  one.socket.destroy();
  await read;
});

Deno.test("WebSocketConnection destroy() before start() tells of the end, too", async () => {
  await using one = await startPair({ isStarted: false });
  one.socket.destroy();
  one.socket.destroy();
  one.socket.start();
  one.assertTold("closed undefined, ended");
  assert.equal(await one.client.readFrame(), undefined);
});

Deno.test("WebSocketConnection answers in time although the client reads nothing", async () => {
  await using one = await startPair();
  await one.stall();
  await one.send([close, closePayload(1000)]);
  // At once: the end may take as long as the client may.
  await one.heard(2);
  one.assertTold("opened, goodbye");
  assert.equal(one.socket.state, "closing");
  one.pass(closeTicks + 1);
  assert.deepEqual(one.events.slice(2), ["closed 1000", "ended"]);
  assert.equal(one.socket.queuedBytes, 0);
});

Deno.test("WebSocketConnection hands over what waited after writing failed", async () => {
  await using one = await startPair();
  one.onMessage = () => false;
  await one.send([text, "a"], [text, "b"]);
  await one.heard(2);
  one.client.close();
  one.socket.send(frameBytes(text, "in vain", { mask: false }));
  await eventually(() => one.socket.state === "closing", "a failed write");
  one.onMessage = () => true;
  one.socket.resume();
  await one.assertEnds("opened, text a, text a, text b, closed undefined");
});

Deno.test("WebSocketConnection ends its side when a client answers a close frame with nonsense", async () => {
  await using one = await startPair();
  one.socket.close(1000, "");
  await one.assertCloseFrame(1000);
  await one.client.send(text, "a", { rsv: 7 });
  assert.equal(await one.client.readFrame(), undefined);
  one.client.close();
  await one.assertEnds("opened, closed undefined");
});
