import assert from "node:assert/strict";
import { IdleTimers } from "../../src/relay/idle_timers.ts";
import { eventually, pause } from "../helpers/eventually.ts";
import { TempFolder } from "../helpers/folder.ts";
import {
  concat,
  frameBytes,
  opcodes,
  RawClient,
  readClose,
} from "../helpers/raw_client.ts";

const turnMs = 100;

/** A client, and its socket on the other side. */
interface Pair extends AsyncDisposable {
  readonly client: RawClient;
  readonly socket: WebSocket;
  /** What the runtime's timer was at each message that came. */
  readonly timers: readonly unknown[];
}

async function openPair(
  { idleTimeoutS = 1 }: { idleTimeoutS?: number } = {},
): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await TempFolder.make());
  const path = `${folder.path}/s`;
  const idleTimers = new IdleTimers({ turnMs });
  stack.defer(() => idleTimers.stop());
  const opened = Promise.withResolvers<WebSocket>();
  const closed = Promise.withResolvers<void>();
  const timers: unknown[] = [];
  const listener = Deno.serve({ path, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request, {
      idleTimeout: idleTimeoutS,
    });
    idleTimers.spare(socket, idleTimeoutS);
    socket.onopen = () => opened.resolve(socket);
    socket.onmessage = () => timers.push(timerOf(socket));
    socket.onerror = () => {};
    socket.onclose = () => closed.resolve();
    return response;
  });
  stack.defer(() => listener.shutdown());
  stack.defer(() => closed.promise);
  const client = stack.use(await RawClient.join({ socket: path }, "/"));
  const socket = await opened.promise;
  const resources = stack.move();
  return {
    client,
    socket,
    timers,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Gets the runtime's timer, which is another one each time when it is set. */
function timerOf(socket: WebSocket): unknown {
  const symbol = Object.getOwnPropertySymbols(socket)
    .find(({ description }) => description === "[[idleTimeoutTimeout]]")!;
  return (socket as unknown as Record<symbol, unknown>)[symbol];
}

const message = frameBytes(opcodes.text, "x");

Deno.test("IdleTimers.spare() sets a timer once in a turn, not for each message", async () => {
  await using pair = await openPair();
  const { client, timers } = pair;
  const burst = 200;
  await client.write(concat(Array.from({ length: burst }, () => message)));
  await eventually(() => timers.length === burst, "all messages");
  assert.ok(new Set(timers).size < burst / 2, `${new Set(timers).size}`);
  await eventually(async () => {
    await client.write(message);
    return timers.at(-1) !== timers[burst - 1];
  }, "a new timer in a later turn");
});

Deno.test("IdleTimers.spare() lets nobody who sends be asked for a sign of life", async () => {
  // Long enough for a machine that has more to do.
  const idleTimeoutS = 4;
  await using pair = await openPair({ idleTimeoutS });
  const { client } = pair;
  const frame = client.readFrame();
  let asked = false;
  frame.then(() => asked = true, () => {});
  const endMs = Date.now() + idleTimeoutS * 1000;
  while (Date.now() < endMs) {
    await client.write(message);
    await pause(turnMs / 4);
    assert.ok(!asked);
  }
  // Once it is silent, it is.
  assert.equal((await frame)?.opcode, opcodes.ping);
});

Deno.test("IdleTimers.spare() keeps a silent client that answers pings, and closes it when it doesn't", async () => {
  await using pair = await openPair();
  const { client } = pair;
  for (let i = 0; i < 4; i++) {
    assert.equal((await client.readFrame())?.opcode, opcodes.ping);
    await client.write(frameBytes(opcodes.pong));
  }
  assert.equal((await client.readFrame())?.opcode, opcodes.ping);
  const { opcode, payload } = (await client.readFrame())!;
  assert.equal(opcode, opcodes.close);
  assert.equal(readClose(payload).code, 1001);
});

Deno.test("IdleTimers.spare() leaves a time-out alone that is too short to be spared", () => {
  const socket = Object.create(WebSocket.prototype) as WebSocket;
  new IdleTimers({ turnMs: 1000 }).spare(socket, 4);
  assert.deepEqual(Object.getOwnPropertySymbols(socket), []);
  new IdleTimers({ turnMs: 1000 }).spare(socket, 5);
  assert.notDeepEqual(Object.getOwnPropertySymbols(socket), []);
});
