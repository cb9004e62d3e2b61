import assert from "node:assert/strict";
import { Wire } from "../../src/listener/wire.ts";
import { eventually } from "../../tools/eventually.ts";

/** A connection whose reads a test answers, in order. */
class StubConn {
  readonly reads: PromiseWithResolvers<number | null>[] = [];
  isClosed = false;
  #into!: Uint8Array;

  read(into: Uint8Array): Promise<number | null> {
    this.#into = into;
    this.reads.push(Promise.withResolvers());
    return this.reads.at(-1)!.promise;
  }

  /** Gives the last read these bytes. */
  feed(bytes: Uint8Array): void {
    this.#into.set(bytes);
    this.reads.at(-1)!.resolve(bytes.length);
  }

  close(): void {
    this.isClosed = true;
  }
}

function newWire(): { conn: StubConn; wire: Wire } {
  const conn = new StubConn();
  return { conn, wire: new Wire(conn as unknown as Deno.Conn) };
}

/** Reads until the end, at most `most` bytes at a time. */
async function readAll(wire: Wire, most: number): Promise<number[]> {
  const bytes = [];
  const buffer = new Uint8Array(most);
  for (let count; (count = await wire.read(buffer)) !== null;) {
    bytes.push(...buffer.subarray(0, count));
  }
  return bytes;
}

Deno.test("Wire.read() gets what was given back, what was watched and what comes, in order", async () => {
  const { conn, wire } = newWire();
  wire.unread(Uint8Array.of(1, 2, 3));
  wire.watch();
  // Waits for the watch, whose bytes belong between.
  const reading = readAll(wire, 2);
  conn.feed(Uint8Array.of(4));
  await eventually(() => conn.reads.length === 2, "a read of its own");
  conn.feed(Uint8Array.of(5));
  await eventually(() => conn.reads.length === 3, "another one");
  conn.reads.at(-1)!.resolve(null);
  assert.deepEqual(await reading, [1, 2, 3, 4, 5]);
});

Deno.test("Wire.watch() notices the end, and reads no more than 256 bytes ahead for that", async () => {
  const { conn, wire } = newWire();
  for (const bytes of [200, 56]) {
    wire.watch();
    wire.watch();
    conn.feed(new Uint8Array(bytes));
    // The watch ends in this turn.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assert.equal(conn.reads.length, 2);
  wire.watch();
  assert.equal(conn.reads.length, 2);
  assert.equal(await wire.read(new Uint8Array(1000)), 256);
  wire.watch();
  conn.reads.at(-1)!.resolve(null);
  await eventually(() => wire.hasEnded, "the end");
  assert.equal(await wire.read(new Uint8Array(1)), null);
  assert.equal(conn.isClosed, false);
});

Deno.test("Wire.watch() closes a connection that breaks", async () => {
  const { conn, wire } = newWire();
  wire.watch();
  conn.reads.at(-1)!.reject(new Deno.errors.ConnectionReset());
  await eventually(() => wire.hasEnded, "the end");
  assert.equal(conn.isClosed, true);
});
