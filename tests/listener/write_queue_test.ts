import assert from "node:assert/strict";
import { frameOf, opcodes } from "../../src/listener/frames.ts";
import { largeBytes, own, release } from "../../src/common/large_memory.ts";
import { noteRead } from "../../src/listener/write_pace.ts";
import {
  pieceOverheadBytes,
  WriteQueue,
} from "../../src/listener/write_queue.ts";
import { concat } from "../../tools/raw_client.ts";

/** A connection that takes what the test says, when the test says so. */
class StubConn {
  readonly writes: Uint8Array[] = [];
  #last!: PromiseWithResolvers<number>;

  write(bytes: Uint8Array): Promise<number> {
    this.writes.push(bytes);
    this.#last = Promise.withResolvers();
    return this.#last.promise;
  }

  /** Takes what is being written, or a part of it. */
  async take(count = this.writes.at(-1)!.length): Promise<void> {
    this.#last.resolve(count);
    await settled();
  }

  async fail(): Promise<void> {
    this.#last.reject(new Deno.errors.BrokenPipe());
    await settled();
  }
}

/** Lets everything happen that doesn't wait for the outside. */
const settled = (): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, 0));

function newQueue(): { conn: StubConn; queue: WriteQueue; told: string[] } {
  // Otherwise what the other tests wrote could make this one wait.
  noteRead();
  const conn = new StubConn();
  const told: string[] = [];
  const queue = new WriteQueue(conn, {
    written: () => told.push("written"),
    writeFailed: () => told.push("failed"),
  });
  return { conn, queue, told };
}

/** Gets a queue that has begun with these. */
function startedQueue(
  ...pieces: Uint8Array<ArrayBuffer>[]
): ReturnType<typeof newQueue> {
  const parts = newQueue();
  parts.queue.start();
  for (const each of pieces) parts.queue.push(each);
  return parts;
}

const piece = (size: number, value = 1): Uint8Array<ArrayBuffer> =>
  new Uint8Array(size).fill(value);

Deno.test("WriteQueue writes nothing before start(), then all of it together", async () => {
  const { conn, queue } = newQueue();
  queue.push(piece(3, 1));
  queue.push(piece(2, 2));
  assert.equal(conn.writes.length, 0);
  assert.equal(queue.queuedBytes, 5 + 2 * pieceOverheadBytes);
  queue.start();
  assert.deepEqual(conn.writes[0]!, Uint8Array.of(1, 1, 1, 2, 2));
  assert.equal(queue.queuedBytes, 5 + pieceOverheadBytes);
  await conn.take();
  assert.equal(queue.queuedBytes, 0);
});

Deno.test("WriteQueue has one write under way, and doesn't copy a single piece", async () => {
  const [first, second] = [piece(10), piece(20)];
  const { conn } = startedQueue(first, second);
  assert.equal(conn.writes.length, 1);
  assert.equal(conn.writes[0]!, first);
  await conn.take();
  assert.equal(conn.writes[1]!, second);
});

Deno.test("WriteQueue goes on where a write ended early", async () => {
  const { conn, queue, told } = startedQueue(Uint8Array.of(1, 2, 3, 4));
  await conn.take(1);
  assert.deepEqual(conn.writes[1]!, Uint8Array.of(2, 3, 4));
  assert.equal(queue.queuedBytes, 3 + pieceOverheadBytes);
  await conn.take(3);
  assert.equal(queue.queuedBytes, 0);
  assert.deepEqual(told, ["written", "written"]);
});

Deno.test("WriteQueue copies small pieces together up to 64 KiB, and leaves large ones alone", async () => {
  const { conn, queue } = newQueue();
  const sizes = [10_000, 15_000, 15_000, 15_000, 15_000, 20_000, 5, 6];
  for (const size of sizes) queue.push(piece(size));
  queue.start();
  const written = [];
  for (let i = 0; i < conn.writes.length; i++) {
    written.push(conn.writes[i]!.length);
    await conn.take();
  }
  assert.deepEqual(written, [55_000, 15_000, 20_000, 11]);
  assert.equal(queue.queuedBytes, 0);
});

Deno.test("WriteQueue.drop() forgets everything at once, and ignores what comes", async () => {
  const { conn, queue, told } = startedQueue(piece(1), piece(2));
  queue.drop();
  queue.push(piece(3));
  assert.equal(queue.queuedBytes, 0);
  await conn.take();
  assert.equal(conn.writes.length, 1);
  assert.deepEqual(told, []);
});

Deno.test("WriteQueue tells once that a write failed, and is empty", async () => {
  const { conn, queue, told } = startedQueue(piece(1), piece(2));
  await conn.fail();
  assert.deepEqual(told, ["failed"]);
  assert.equal(queue.queuedBytes, 0);
  queue.push(piece(3));
  assert.equal(conn.writes.length, 1);
});

Deno.test("WriteQueue.pushPong() keeps sixteen in their order, then replaces the last", async () => {
  const message = frameOf(opcodes.text, piece(3));
  const { conn, queue } = startedQueue(piece(1), message);
  for (let i = 0; i < 1000; i++) queue.pushPong(Uint8Array.of(i, i >> 8));
  assert.equal(queue.queuedBytes, 1 + 5 + 16 * 4 + 18 * pieceOverheadBytes);
  queue.push(frameOf(opcodes.text, piece(1)));
  queue.pushPong(Uint8Array.of(0xee));
  await conn.take();
  const pongs = Array.from(
    { length: 15 },
    (_, i) => frameOf(opcodes.pong, Uint8Array.of(i, 0)),
  );
  assert.deepEqual(
    conn.writes[1]!,
    concat([
      message,
      ...pongs,
      frameOf(opcodes.pong, Uint8Array.of(0xee)),
      frameOf(opcodes.text, piece(1)),
    ]),
  );
  // Those are on their way: there is room again.
  for (let i = 0; i < 3; i++) queue.pushPong(Uint8Array.of(i));
  await conn.take();
  assert.equal(conn.writes[2]!.length, 3 * 3);
  assert.equal(queue.queuedBytes, 9 + pieceOverheadBytes);
});

/** Gets a queue whose turn to write comes later: as many others write first as may in one turn. */
function waitingQueue(first: Uint8Array<ArrayBuffer>): ReturnType<
  typeof newQueue
> {
  return Array.from({ length: 65 }, newQueue).map((parts) => {
    parts.queue.start();
    parts.queue.push(first);
    return parts;
  }).at(-1)!;
}

Deno.test("WriteQueue collects what comes until its turn to write, and writes it together", async () => {
  const { conn, queue } = waitingQueue(piece(1, 1));
  queue.push(piece(1, 2));
  assert.equal(conn.writes.length, 0);
  assert.equal(queue.queuedBytes, 2 + 2 * pieceOverheadBytes);
  await settled();
  assert.deepEqual(conn.writes, [Uint8Array.of(1, 2)]);
});

Deno.test("WriteQueue.drop() forgets a write whose turn hasn't come", async () => {
  const { conn, queue } = waitingQueue(piece(1));
  queue.drop();
  await settled();
  assert.equal(conn.writes.length, 0);
});

Deno.test("WriteQueue needs the memory of a large piece until it is written whole", async () => {
  const large = piece(largeBytes);
  own(large);
  const [one, other] = [startedQueue(large), startedQueue(large)];
  release(large);
  await one.conn.take(1);
  await one.conn.take();
  assert.equal(large.length, largeBytes);
  await other.conn.take();
  assert.equal(large.length, 0);
});
