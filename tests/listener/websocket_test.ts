/** Real connections over a unix socket; time passes only when a test calls `tick()`. */
import assert from "node:assert/strict";
import { messageFrame } from "../../src/listener/frames.ts";
import { ticksPerS } from "../../src/listener/silence.ts";
import type { Message, SocketLimits } from "../../src/listener/socket.ts";
import { WebSocketConnection } from "../../src/listener/websocket.ts";
import { pieceOverheadBytes } from "../../src/listener/write_queue.ts";
import { boundSockets } from "./unix_sockets.ts";
import { eventually, within } from "../../tools/eventually.ts";
import {
  closePayload,
  concat,
  frameBytes,
  opcodes,
  RawClient,
  readClose,
} from "../../tools/raw_client.ts";

const { text, binary, close, ping, pong } = opcodes;
const limits: SocketLimits = {
  messageBytes: 1000,
  idleTimeoutS: 10,
  closeTimeoutS: 2,
};

/** A WebSocket and the client at its other end. */
interface Pair extends AsyncDisposable {
  /** Of the unix socket that the connection came in by. */
  readonly path: string;
  readonly socket: WebSocketConnection;
  readonly client: RawClient;
  /** What the handler was told, in order: text as it is, all else by name. */
  readonly told: string[];
  /** Resolves when the owner is told of the end. */
  readonly ended: Promise<void>;
}

interface PairOptions {
  readonly rest?: Uint8Array;
  readonly limits?: Partial<SocketLimits>;
  /** Instead of taking every message. */
  readonly message?: (message: Message, socket: WebSocketConnection) => boolean;
  readonly opened?: () => void;
  readonly faulted?: () => void;
  readonly isStarted?: boolean;
}

async function pair(options: PairOptions = {}): Promise<Pair> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/socket`;
  const listener = Deno.listen({ transport: "unix", path });
  const accepted = listener.accept();
  const client = await RawClient.connect({ socket: path });
  const conn = await accepted;
  listener.close();
  const told: string[] = [];
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const socket: WebSocketConnection = new WebSocketConnection({
    conn,
    rest: options.rest ?? new Uint8Array(0),
    limits: { ...limits, ...options.limits },
    onEnded: () => {
      told.push("ended");
      resolve();
    },
    onHandlerError: (error) => told.push(`error ${(error as Error).message}`),
    handler: {
      opened: () => {
        told.push("opened");
        options.opened?.();
      },
      message: (message) => {
        const { isText, payload } = message;
        told.push(
          isText
            ? new TextDecoder().decode(payload)
            : `${payload.length} bytes`,
        );
        return options.message?.(message, socket) ?? true;
      },
      caughtUp: () => told.push("caught up"),
      saidGoodbye: () => told.push("goodbye"),
      faulted: (why) => {
        told.push(`faulted ${why}`);
        options.faulted?.();
      },
      closed: (code) => told.push(`closed ${code}`),
    },
  });
  if (options.isStarted !== false) socket.start();
  return {
    path,
    socket,
    client,
    told,
    ended,
    async [Symbol.asyncDispose](): Promise<void> {
      socket.destroy();
      client.close();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** Tests with a pair, and that nothing of the connection is left behind. */
function testPair(
  name: string,
  test: (pair: Pair) => Promise<void>,
  options: PairOptions = {},
): void {
  Deno.test(`WebSocketConnection ${name}`, async () => {
    let path;
    {
      await using one = await pair(options);
      path = one.path;
      assert.equal(boundSockets(path), 1);
      await test(one);
      assert.ok(one.told.filter((what) => what === "ended").length <= 1);
    }
    await eventually(
      () => boundSockets(path) === 0,
      () => `no socket, got ${boundSockets(path)}`,
    );
  });
}

/** Waits until the handler was told `count` things, and gets them. */
async function heard({ told }: Pair, count: number): Promise<string[]> {
  await eventually(() => told.length >= count, () => `${count}: ${told}`);
  return told;
}

/** Checks all that the handler and the owner were told, separated by commas. */
function assertTold({ told }: Pair, expected: string): void {
  assert.equal(told.join(", "), expected);
}

/** Sends messages and control frames at once. */
function send(
  { client }: Pair,
  ...frames: (readonly [opcode: number, data: Uint8Array | string])[]
): Promise<void> {
  return client.write(
    concat(frames.map(([opcode, data]) => frameBytes(opcode, data))),
  );
}

async function readCloseOf(
  client: RawClient,
): Promise<ReturnType<typeof readClose>> {
  const frame = await client.readFrame();
  assert.equal(frame?.opcode, close);
  return readClose(frame.payload);
}

function tick(socket: WebSocketConnection, count: number): void {
  for (let i = 0; i < count; i++) socket.tick();
}

/** Sends more than the kernel takes; gets what is queued then. */
async function stall({ socket }: Pair): Promise<number> {
  socket.send(messageFrame(new Uint8Array(8 << 20), { isText: false }));
  let queued;
  do {
    queued = socket.queuedBytes;
    await new Promise((resolve) => setTimeout(resolve, 20));
  } while (queued !== socket.queuedBytes);
  return queued;
}

testPair("hands over what came with the request first", async (one) => {
  await one.client.send(text, "b");
  assert.deepEqual(await heard(one, 3), ["opened", "a", "b"]);
}, { rest: frameBytes(text, "a") });

testPair("keeps a flood of pings from growing its queue", async (one) => {
  const stalled = await stall(one);
  const flood = concat(Array(5000).fill(frameBytes(ping, "x".repeat(125))));
  await one.client.write(concat([flood, frameBytes(text, "end")]));
  await heard(one, 2);
  const grown = one.socket.queuedBytes - stalled;
  assert.ok(grown <= 16 * (127 + pieceOverheadBytes), `${grown} bytes`);
});

/** Whether the next test's handler takes messages. */
let taken = false;

testPair(
  "waits with a message that isn't taken, and reads no further",
  async (one) => {
    await send(one, [ping, "p"], [text, "a"], [text, "b"]);
    assert.equal((await one.client.readFrame())!.opcode, pong);
    assert.deepEqual(await heard(one, 2), ["opened", "a"]);
    // More than the kernel and a buffer would take.
    let isWritten = false;
    const flood = Array(4000).fill([binary, new Uint8Array(900)]);
    const written = send(one, ...flood).then(() => isWritten = true);
    tick(one.socket, 100 * ticksPerS);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(isWritten, false);
    assertTold(one, "opened, a");
    taken = true;
    one.socket.resume();
    await written;
    const all = await heard(one, 4 + 4000);
    assert.deepEqual(all.slice(0, 5), ["opened", "a", "a", "b", "900 bytes"]);
  },
  { message: () => taken },
);

testPair(
  "closes while a message waits, and hands it over no more",
  async (one) => {
    await one.client.send(text, "a");
    await heard(one, 2);
    one.socket.close(1001, "away");
    assert.equal(one.socket.state, "closing");
    assert.deepEqual(await readCloseOf(one.client), {
      code: 1001,
      reason: "away",
    });
    await one.client.send(close, closePayload(1001));
    await within(one.ended, "the end");
    assertTold(one, "opened, a, closed 1001, ended");
  },
  { message: () => false },
);

const cases = [
  ["its code", closePayload(4321, "why"), 4321],
  ["no code", new Uint8Array(0), 1005],
] as const;
for (const [name, payload, code] of cases) {
  testPair(
    `answers a close frame with ${name}, behind what is queued`,
    async (one) => {
      one.socket.send(frameBytes(text, "last", { mask: false }));
      await send(one, [close, payload], [text, "late"]);
      assert.equal((await one.client.readFrame())!.payload.length, 4);
      assert.equal((await readCloseOf(one.client)).code, code);
      assert.equal(await one.client.readFrame(), undefined);
      await within(one.ended, "the end");
      assertTold(one, `opened, goodbye, closed ${code}, ended`);
      assert.equal(one.socket.queuedBytes, 0);
    },
  );
}

testPair("close() ignores all but the answer", async (one) => {
  one.socket.close(1012, "again");
  one.socket.close(1000, "twice");
  one.socket.send(frameBytes(text, "late", { mask: false }));
  assert.deepEqual(await readCloseOf(one.client), {
    code: 1012,
    reason: "again",
  });
  await send(
    one,
    ...[[text, "unheard"], [ping, "unanswered"]] as const,
    [binary, new Uint8Array(100_000)],
    [close, closePayload(1000)],
  );
  assert.equal(await one.client.readFrame(), undefined);
  await within(one.ended, "the end");
  assertTold(one, "opened, closed 1000, ended");
});

testPair(
  "ends a client that never answers a close frame, in time",
  async (one) => {
    await stall(one);
    one.socket.close(1000, "");
    assert.ok(one.socket.queuedBytes > 0);
    tick(one.socket, limits.closeTimeoutS * ticksPerS);
    assert.equal(one.socket.state, "closing");
    one.socket.tick();
    assert.equal(one.socket.state, "closed");
    assert.equal(one.socket.queuedBytes, 0);
    assertTold(one, "opened, closed undefined, ended");
    await one.client.readToEnd();
  },
);

const unmasked = ["protocol", 1002, "frame without a mask"] as const;
const notUtf8 = ["not_utf8", 1007, "text message is not UTF-8"] as const;
const tooBig = ["too_big", 1009, "message over 1000 bytes"] as const;

const faults = [
  ["an unmasked frame", frameBytes(text, "a", { mask: false }), unmasked],
  ["bad UTF-8", frameBytes(text, Uint8Array.of(0xff)), notUtf8],
  ["a large message", frameBytes(binary, new Uint8Array(1001)), tooBig],
  ["a huge message", frameBytes(binary, new Uint8Array(3 << 20)), tooBig],
] as const;
for (const [name, frame, [fault, code, reason]] of faults) {
  testPair(`tells a client that sends ${name} why it ends`, async (one) => {
    await one.client.write(
      concat([frameBytes(text, "good"), frame, frameBytes(text, "late")]),
    );
    assert.deepEqual(await readCloseOf(one.client), { code, reason });
    assert.equal(await one.client.readFrame(), undefined);
    one.client.close();
    await within(one.ended, "the end");
    assertTold(one, `opened, good, faulted ${fault}, closed undefined, ended`);
  });
}

testPair("reads 16 MiB at most of a client that broke a rule", async (one) => {
  await one.client.send(text, "a", { mask: false });
  const written = one.client.write(new Uint8Array(17 << 20)).catch(() => {});
  await within(one.ended, "the end");
  assertTold(one, "opened, faulted protocol, closed undefined, ended");
  await written;
});

testPair("ends a client that broke a rule and stays, in time", async (one) => {
  await one.client.send(text, "a", { mask: false });
  assert.equal((await readCloseOf(one.client)).code, 1002);
  tick(one.socket, limits.closeTimeoutS * ticksPerS + 1);
  assert.equal(one.socket.state, "closed");
});

testPair(
  "still reads what a client sent before it hung up, when writing fails",
  async (one) => {
    await one.client.send(text, "bye");
    one.client.close();
    one.socket.send(frameBytes(text, "in vain", { mask: false }));
    await within(one.ended, "the end");
    assertTold(one, "opened, bye, closed undefined, ended");
  },
  { rest: frameBytes(ping, "also in vain") },
);

testPair(
  "pings a silent client after half of the idle timeout, once, and hears it",
  async (one) => {
    const half = limits.idleTimeoutS * ticksPerS / 2;
    tick(one.socket, half - 1);
    assert.equal(one.socket.queuedBytes, 0);
    tick(one.socket, half + 1);
    assert.equal((await one.client.readFrame())!.opcode, ping);
    await one.client.send(pong);
    await one.client.send(text, "here");
    await heard(one, 2);
    tick(one.socket, 2 * half);
    assert.equal((await one.client.readFrame())!.opcode, ping);
    assert.equal(one.socket.state, "open");
  },
);

testPair("gives a client up that answers no ping", async (one) => {
  tick(one.socket, limits.idleTimeoutS * ticksPerS);
  assert.equal((await one.client.readFrame())!.opcode, ping);
  await eventually(() => one.socket.queuedBytes === 0, "an empty queue");
  one.socket.tick();
  assert.deepEqual(await readCloseOf(one.client), {
    code: 1001,
    reason: "no answer to a ping",
  });
  one.socket.tick();
  assertTold(one, "opened, faulted idle, closed undefined, ended");
});

testPair("gives a client up at once that takes nothing either", async (one) => {
  await stall(one);
  tick(one.socket, limits.idleTimeoutS * ticksPerS + 1);
  assertTold(one, "opened, faulted idle, closed undefined, ended");
  assert.equal(one.socket.queuedBytes, 0);
});

testPair(
  "knows that a client lives which takes what is before its ping",
  async (one) => {
    await stall(one);
    const half = limits.idleTimeoutS * ticksPerS / 2;
    tick(one.socket, half);
    for (let i = 0; i < 4; i++) {
      tick(one.socket, half - 1);
      const { queuedBytes } = one.socket;
      await eventually(async () => {
        await one.client.readText(512 * 1024);
        return one.socket.queuedBytes < queuedBytes;
      }, "the queue to shrink");
    }
    assert.equal(one.socket.state, "open");
    tick(one.socket, limits.idleTimeoutS * ticksPerS + 1);
    assert.deepEqual(one.told.slice(0, 2), ["opened", "faulted idle"]);
  },
);

testPair(
  "notices that a client hung up which it lets wait",
  async (one) => {
    await one.client.send(text, "held");
    await heard(one, 2);
    one.client.close();
    tick(one.socket, limits.idleTimeoutS * ticksPerS / 2);
    await eventually(() => one.socket.state !== "open", "a write to fail");
    tick(one.socket, limits.closeTimeoutS * ticksPerS + 1);
    assertTold(one, "opened, held, closed undefined, ended");
  },
  { message: () => false },
);

/** How many messages were there when a timer ran that the first of them set. */
let whenTimerRan: number | undefined;
let counted: () => void;

testPair(
  "looks after others after a thousand messages of one",
  async (one) => {
    const messages = Array.from({ length: 3000 }, () => frameBytes(text, "a"));
    await one.client.write(concat(messages));
    await heard(one, 3001);
    assert.ok(whenTimerRan! < 3000);
  },
  {
    message: () => {
      if (whenTimerRan === undefined) {
        whenTimerRan = Infinity;
        let count = 0;
        counted = () => count++;
        setTimeout(() => whenTimerRan = count, 0);
      }
      counted();
      const endMs = performance.now() + 0.01;
      while (performance.now() < endMs);
      return true;
    },
  },
);

testPair(
  "ends with 1011 when the handler throws, and nothing else ends",
  async (one) => {
    await send(one, [text, "a"], [text, "b"]);
    assert.deepEqual(await readCloseOf(one.client), {
      code: 1011,
      reason: "internal error",
    });
    await one.client.send(close, closePayload(1011));
    await within(one.ended, "the end");
    assertTold(
      one,
      "opened, a, error broken, faulted handler, closed 1011, ended",
    );
  },
  {
    message: () => {
      throw new Error("broken");
    },
  },
);

testPair("may be closed or destroyed by its handler", async (one) => {
  await send(one, [text, "a"], [text, "b"]);
  await within(one.ended, "the end");
  assertTold(one, "opened, a, closed undefined, ended");
}, {
  message: (_, socket) => {
    socket.destroy();
    return false;
  },
});

testPair("tells once when its queue is small enough", async (one) => {
  await stall(one);
  one.socket.tellBelow(1000);
  const read = one.client.readToEnd();
  await heard(one, 2);
  assertTold(one, "opened, caught up");
  assert.equal(one.socket.queuedBytes, 0);
  one.socket.tellBelow(0);
  assert.equal(one.told.length, 2, "never inside of the call");
  await heard(one, 3);
  one.socket.destroy();
  await read;
});

testPair("destroy() before start() tells of the end, too", async (one) => {
  one.socket.destroy();
  one.socket.destroy();
  one.socket.start();
  assertTold(one, "closed undefined, ended");
  assert.equal(await one.client.readFrame(), undefined);
}, { isStarted: false });

testPair("answers in time although the client reads nothing", async (one) => {
  await stall(one);
  await one.client.send(close, closePayload(1000));
  // At once: the end may take as long as the client may.
  await heard(one, 2);
  assertTold(one, "opened, goodbye");
  assert.equal(one.socket.state, "closing");
  tick(one.socket, limits.closeTimeoutS * ticksPerS + 1);
  assert.deepEqual(one.told.slice(2), ["closed 1000", "ended"]);
  assert.equal(one.socket.queuedBytes, 0);
});

/** Whether the next test's handler takes no messages. */
let isHeld = true;

testPair("hands over what waited after writing failed", async (one) => {
  await send(one, [text, "a"], [text, "b"]);
  await heard(one, 2);
  one.client.close();
  one.socket.send(frameBytes(text, "in vain", { mask: false }));
  await eventually(() => one.socket.state === "closing", "a failed write");
  isHeld = false;
  one.socket.resume();
  await within(one.ended, "the end");
  assertTold(one, "opened, a, a, b, closed undefined, ended");
}, { message: () => !isHeld });

testPair(
  "reads on for the answer if the handler closes and takes nothing",
  async (one) => {
    await one.client.send(text, "a");
    assert.equal((await readCloseOf(one.client)).code, 1000);
    await one.client.send(close, closePayload(1000));
    await within(one.ended, "the end");
    assertTold(one, "opened, a, closed 1000, ended");
  },
  {
    message: (_, socket) => {
      socket.close(1000, "");
      return false;
    },
  },
);

testPair(
  "ends its side when a client answers a close frame with nonsense",
  async (one) => {
    one.socket.close(1000, "");
    assert.equal((await readCloseOf(one.client)).code, 1000);
    await one.client.send(text, "a", { rsv: 7 });
    assert.equal(await one.client.readFrame(), undefined);
    one.client.close();
    await within(one.ended, "the end");
    assertTold(one, "opened, closed undefined, ended");
  },
);

testPair(
  "tells one fault only, also if the handler throws then",
  async (one) => {
    await one.client.send(text, "a", { rsv: 7 });
    assert.equal((await readCloseOf(one.client)).code, 1011);
    one.client.close();
    await within(one.ended, "the end");
    assertTold(
      one,
      "opened, faulted protocol, error broken, closed undefined, ended",
    );
  },
  {
    faulted: () => {
      throw new Error("broken");
    },
  },
);
