import assert from "node:assert/strict";
import {
  Backlog,
  messageOverheadBytes,
  Traffic,
} from "../../src/relay/backlog.ts";

const limitBytes = 1 << 20;
const emptyRunMs = 60_000;

/** A runtime that writes what it is told to, and whose `bufferedAmount` the backlog sees. */
class Reader {
  readonly traffic: Traffic;
  readonly backlog: Backlog;
  readonly queue: number[] = [];
  timeMs = 1;
  checks = 0;

  constructor(traffic = new Traffic()) {
    this.traffic = traffic;
    this.backlog = new Backlog(traffic);
  }

  /** Hands over a message. Gets what the backlog says waits, if it looked. */
  send(bytes: number): number | undefined {
    const isDue = this.traffic.add(bytes, limitBytes);
    const waiting = isDue ? this.check(bytes) : undefined;
    this.queue.push(bytes);
    return waiting;
  }

  /** Publishes a message itself. Gets what the backlog says waits, if it looked. */
  publish(bytes: number): number | undefined {
    this.backlog.skip(bytes);
    return this.traffic.add(bytes, limitBytes) ? this.check() : undefined;
  }

  check(added?: number): number {
    this.checks++;
    return this.backlog.check(added, {
      bufferedBytes: this.queue.reduce((sum, size) => sum + size, 0),
      limitBytes,
      timeMs: this.timeMs,
      emptyRunMs,
    });
  }

  /** Hands over messages until too much waits or `count` are sent. Gets how many were. */
  sendUntilFull(bytes: number, count: number): number {
    for (let sent = 0; sent < count; sent++) {
      if ((this.send(bytes) ?? 0) > limitBytes) return sent;
    }
    return count;
  }

  read(messages = Infinity): void {
    this.queue.splice(0, messages);
  }

  get counted(): number {
    return this.queue.reduce(
      (sum, size) => sum + size + messageOverheadBytes,
      0,
    );
  }
}

for (const bytes of [0, 1, 64, 4096, 65536, limitBytes]) {
  Deno.test(`Backlog fills for a reader that never reads messages of ${bytes} bytes`, () => {
    const reader = new Reader();
    reader.sendUntilFull(bytes, 100_000);
    const room = limitBytes + bytes + messageOverheadBytes;
    assert.ok(reader.counted > limitBytes - bytes, `${reader.counted}`);
    assert.ok(reader.counted <= room + limitBytes / 16, `${reader.counted}`);
  });
}

Deno.test("Backlog never fills for a reader that takes each message of the size of the limit", () => {
  const reader = new Reader();
  for (let i = 0; i < 100; i++) {
    assert.ok((reader.send(limitBytes) ?? 0) <= limitBytes);
    reader.read();
  }
});

Deno.test("Backlog never fills for a reader that keeps up, and looks seldom", () => {
  const reader = new Reader();
  for (let i = 0; i < 100_000; i++) {
    assert.ok((reader.send(64) ?? 0) <= limitBytes / 8);
    reader.read();
  }
  assert.ok(reader.checks < 1000, `${reader.checks}`);
});

Deno.test("Backlog never fills for a reader that is always behind, but within the limit", () => {
  const reader = new Reader();
  let seed = 1;
  for (let i = 0; i < 100_000; i++) {
    seed = seed * 48271 % 0x7fffffff;
    assert.ok((reader.send(1 + seed % 500) ?? 0) <= limitBytes);
    // Half of what may wait does all the time, and is never seen as empty.
    while (reader.counted > limitBytes / 2) reader.read(1);
    if (i % 1000 === 0) assert.ok(reader.queue.length > 0);
  }
});

Deno.test("Backlog can't be fooled by large messages followed by tiny ones", () => {
  const reader = new Reader();
  for (let round = 0; round < 20; round++) {
    reader.send(limitBytes / 4);
    reader.read();
  }
  const sent = reader.sendUntilFull(1, 100_000);
  assert.ok(sent < limitBytes / messageOverheadBytes * 1.3, `${sent}`);
});

Deno.test("Backlog lets empty messages pass when any other shows that they were read", () => {
  const reader = new Reader();
  for (let i = 0; i < 100_000; i++) {
    assert.ok((reader.send(i % 100 === 0 ? 1 : 0) ?? 0) <= limitBytes);
    reader.read();
  }
});

Deno.test("Backlog lets a long run of empty messages pass when it is slow enough for pings to show that they were read", () => {
  const reader = new Reader();
  for (let i = 0; i < 100_000; i++) {
    assert.ok((reader.send(0) ?? 0) <= limitBytes);
    reader.read();
    reader.timeMs += 50;
  }
});

Deno.test("Backlog counts from when the client joined, and not what it publishes", () => {
  const traffic = new Traffic();
  for (let i = 0; i < 100; i++) traffic.add(limitBytes, limitBytes);
  const reader = new Reader(traffic);
  for (let i = 0; i < 100; i++) {
    assert.ok((reader.publish(limitBytes) ?? 0) <= 0);
  }
  assert.equal(reader.backlog.writtenBytes(0), 0);
  reader.send(64);
  assert.equal(reader.backlog.writtenBytes(64), 0);
  assert.equal(reader.check(), 64 + messageOverheadBytes);
});

// Only what it publishes makes checks due, and those have to see the rest.
for (const reads of [true, false]) {
  Deno.test(
    `Backlog ${reads ? "never fills" : "fills"} for a client that ${
      reads ? "reads" : "doesn't read"
    } small messages between large ones of its own`,
    () => {
      const reader = new Reader();
      let waiting = 0;
      for (let i = 0; i < 20_000 && waiting <= limitBytes; i++) {
        waiting = Math.max(waiting, reader.publish(limitBytes) ?? 0);
        assert.equal(reader.send(1), undefined);
        if (reads) reader.read();
      }
      assert.equal(waiting > limitBytes, !reads);
    },
  );
}
