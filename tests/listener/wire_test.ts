import assert from "node:assert/strict";
import { Wire } from "../../src/listener/wire.ts";
import { eventually } from "../../tools/eventually.ts";

/** A connection that a test feeds: its reads get what comes, in order. */
class StubConn {
  reads = 0;
  isClosed = false;
  #coming: (Uint8Array | null)[] = [];
  #waiting: PromiseWithResolvers<Uint8Array | null> | undefined;

  feed(bytes: Uint8Array | null): void {
    if (this.#waiting === undefined) this.#coming.push(bytes);
    else this.#waiting.resolve(bytes);
    this.#waiting = undefined;
  }

  breakOff(): void {
    this.#waiting!.reject(new Deno.errors.ConnectionReset());
  }

  async read(into: Uint8Array): Promise<number | null> {
    this.reads++;
    let bytes = this.#coming.shift();
    if (bytes === undefined) {
      this.#waiting = Promise.withResolvers();
      bytes = await this.#waiting.promise;
    }
    if (bytes === null) return null;
    into.set(bytes);
    return bytes.length;
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
  await eventually(() => conn.reads === 2, "a read of its own");
  conn.feed(Uint8Array.of(5));
  await eventually(() => conn.reads === 3, "another one");
  conn.feed(null);
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
  assert.equal(conn.reads, 2);
  wire.watch();
  assert.equal(conn.reads, 2);
  assert.equal((await readAllNow(wire)).length, 256);
  wire.watch();
  conn.feed(null);
  await eventually(() => wire.hasEnded, "the end");
  assert.equal(await wire.read(new Uint8Array(1)), null);
  assert.equal(conn.isClosed, false);
});

/** Reads what is there already. */
async function readAllNow(wire: Wire): Promise<Uint8Array> {
  const buffer = new Uint8Array(1000);
  return buffer.subarray(0, (await wire.read(buffer))!);
}

Deno.test("Wire.watch() closes a connection that breaks", async () => {
  const { conn, wire } = newWire();
  wire.watch();
  conn.breakOff();
  await eventually(() => wire.hasEnded, "the end");
  assert.equal(conn.isClosed, true);
});
