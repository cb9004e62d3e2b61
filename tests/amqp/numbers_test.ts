import assert from "node:assert/strict";
import type { Link } from "../../src/amqp/link.ts";
import { type Mark, readMarks, writeMarks } from "../../src/amqp/marks.ts";
import type { Membership } from "../../src/amqp/membership.ts";
import { Numbers } from "../../src/amqp/numbers.ts";
import { everyNode } from "../../src/amqp/outbox.ts";
import { eventually } from "../../tools/eventually.ts";
import { bindingLink, makeMemberships, one } from "./fakes.ts";

/** The numbers of a node that is in the channels `/a` and `/b`, and what they tell. */
class Bench {
  readonly told: { kind: string; key: string; marks: Mark[] }[] = [];
  /** Paths of channels whose clients missed something. */
  readonly missed: string[] = [];
  /** The last number by path; those that aren't here have to be sent again. */
  readonly last = new Map([["/a", 0], ["/b", 0]]);
  readonly link = { isReady: true };
  /** The number of the node's latest message to itself. */
  asked = 0;
  /** How often the broker was asked to bind something. */
  binds = 0;
  readonly memberships = makeMemberships({ latestProbe: () => this.asked });
  readonly numbers = new Numbers({
    connector: { link: this.link as Link },
    sender: {
      lastOf: ({ path }) => this.last.get(path),
      publishNews: (_, { kind, key, body }) =>
        void this.told.push({ kind, key, marks: readMarks(body) }),
    },
    memberships: this.memberships,
    probe: { ask: () => void this.asked++ },
    onGap: ({ path }) => void this.missed.push(path),
  });

  static async make(): Promise<Bench> {
    const bench = new Bench();
    const bind = (): Promise<void> => {
      bench.binds++;
      return Promise.resolve();
    };
    bench.memberships.connected({ ...bindingLink, bind }, "queue");
    await bench.memberships.join("/a");
    await bench.memberships.join("/b");
    bench.memberships.probed(++bench.asked);
    return bench;
  }

  channel(path: string): Membership {
    return this.memberships.byPath(path)!;
  }

  mark(path: string, last: number): Mark {
    return { prefix: this.channel(path).key.slice(0, 16), last };
  }

  hear(kind: "hello" | "digest", ...marks: Mark[]): void {
    const envelope = { kind, node: one, sequence: 0, since: 0 };
    this.numbers.heard(envelope, writeMarks(marks));
  }

  /** Lets a message of the other node come in `/a`. */
  message(sequence: number, since: number): string {
    const envelope = { kind: "text", node: one, sequence, since } as const;
    return this.channel("/a").tracker.message(envelope);
  }

  ticks(count: number): void {
    for (let i = 0; i < count; i++) this.numbers.tick();
  }

  /** Resolves with the marks of the first news. */
  async firstMarks(): Promise<Mark[]> {
    await eventually(() => this.told.length > 0, "the hello");
    return this.told[0]!.marks;
  }
}

Deno.test("Numbers says hello once for all channels that were joined at about the same time", async () => {
  const bench = await Bench.make();
  bench.last.set("/b", 7);
  bench.numbers.joined(bench.channel("/a"));
  bench.numbers.joined(bench.channel("/b"));
  const marks = await bench.firstMarks();
  assert.deepEqual(marks, [bench.mark("/a", 0), bench.mark("/b", 7)]);
  assert.deepEqual(bench.told, [{ kind: "hello", key: everyNode, marks }]);
  // Behind a message to itself.
  assert.equal(bench.asked, 2);
});

Deno.test("Numbers says hello for every channel once there is a connection again, and it takes something", async () => {
  const bench = await Bench.make();
  let looks = 0;
  Object.defineProperty(bench.link, "isReady", { get: () => ++looks > 4 });
  bench.numbers.joined(bench.channel("/a"));
  bench.numbers.disconnected();
  bench.numbers.connected();
  assert.equal((await bench.firstMarks()).length, 2);
  assert.equal(bench.told.length, 1);
});

Deno.test("Numbers answers a hello with its marks of the channels that both are in", async () => {
  const bench = await Bench.make();
  bench.last.set("/a", 5).delete("/b");
  const strange = { prefix: "0".repeat(16), last: 1 };
  bench.hear("hello", bench.mark("/a", 0), bench.mark("/b", 0), strange);
  const marks = [bench.mark("/a", 5)];
  assert.deepEqual(bench.told, [{ kind: "digest", key: `node.${one}`, marks }]);
  // An answer needs none.
  bench.hear("digest", bench.mark("/a", 0));
  assert.equal(bench.told.length, 1);
});

Deno.test("Numbers sends a digest of channels in which something was sent, for a minute, in which it can be told", async () => {
  const bench = await Bench.make();
  bench.link.isReady = false;
  bench.numbers.sent(bench.channel("/a"));
  bench.ticks(300);
  bench.link.isReady = true;
  bench.last.set("/a", 3);
  bench.ticks(3);
  const marks = [bench.mark("/a", 3)];
  assert.deepEqual(bench.told, [{ kind: "digest", key: everyNode, marks }]);
  bench.ticks(300);
  assert.equal(bench.told.length, 20);
});

Deno.test("Numbers finds a last message that was lost, and binds its channel anew", async () => {
  const bench = await Bench.make();
  assert.equal(bench.message(4, 0), "next");
  bench.hear("digest", bench.mark("/a", 4));
  assert.deepEqual(bench.missed, []);
  bench.hear("digest", bench.mark("/a", 6));
  assert.deepEqual(bench.missed, ["/a"]);
  await eventually(() => bench.binds === 3, "the binding");
  await eventually(() => bench.channel("/a").state === "bound", "the answer");
  bench.memberships.probed(++bench.asked);
  // Told once.
  bench.hear("digest", bench.mark("/a", 6));
  assert.deepEqual(bench.missed, ["/a"]);
  assert.equal(bench.message(7, 6), "next");
});

Deno.test("Numbers shows that the first message of a sender was lost, and takes what was sent before this node joined for nobody's loss", async () => {
  const cases = [
    // Number 9 is the first one in this channel.
    ["hello", 0, 9, 0, "next"],
    ["hello", 0, 10, 9, "gap"],
    ["digest", 50, 50, 49, "duplicate"],
    ["digest", 50, 51, 50, "next"],
  ] as const;
  for (const [kind, last, sequence, since, verdict] of cases) {
    const bench = await Bench.make();
    bench.hear(kind, bench.mark("/a", last));
    assert.equal(bench.message(sequence, since), verdict);
    assert.deepEqual(bench.missed, []);
  }
});

Deno.test("Numbers judges nothing by what was in the queue before a channel was bound", async () => {
  const bench = await Bench.make();
  await bench.memberships.join("/late");
  bench.last.set("/late", 0);
  const { tracker } = bench.channel("/late");
  const nodesAfterHello = (): number => {
    bench.hear("hello", bench.mark("/late", 50));
    return tracker.nodes;
  };
  assert.equal(nodesAfterHello(), 0);
  // The other one is bound, and wants to know.
  assert.equal(bench.told.length, 1);
  bench.memberships.probed(bench.asked);
  assert.equal(nodesAfterHello(), 0);
  bench.memberships.probed(++bench.asked);
  assert.equal(nodesAfterHello(), 1);
});
