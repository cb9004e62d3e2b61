import assert from "node:assert/strict";
import type { Link } from "../../src/amqp/link.ts";
import { everyNode } from "../../src/amqp/outbox.ts";
import { Peers } from "../../src/amqp/peers.ts";
import type { QueueState } from "../../src/amqp/queue_search.ts";
import { eventually } from "../../tools/eventually.ts";

const [one, two] = ["1".repeat(16), "2".repeat(16)] as const;

/** A node that knows others, and a broker that says what a test wants of their queues. */
class Bench {
  readonly told: { kind: string; key: string; body: string }[] = [];
  /** What the numbers of those said. */
  readonly numbers: (number | undefined)[][] = [];
  readonly asked: string[] = [];
  /** Who was heard again, and when it was started. */
  readonly returns: [node: string, startMs: number][] = [];
  readonly states = new Map<string, QueueState>();
  /** Whether the node gets messages. */
  hears = true;
  readonly link = {
    isReady: true,
    blocked: undefined as string | undefined,
    findQueue: (name: string): Promise<QueueState> => {
      this.asked.push(name);
      const state = this.states.get(name);
      return state ? Promise.resolve(state) : Promise.reject(new Error("?"));
    },
  };
  readonly peers = new Peers({
    connector: { link: this.link as unknown as Link },
    sender: {
      publishNews: (_, { kind, key, body, sequence, since }) => {
        this.told.push({ kind, key, body: new TextDecoder().decode(body) });
        this.numbers.push([sequence, since]);
      },
    },
    queue: () => "own",
    hears: () => this.hears,
    onReturn: (node, startMs) => void this.returns.push([node, startMs]),
  });

  hear(
    kind: "alive" | "bye",
    node: string,
    queue = "",
    [sequence, since] = [0, 0],
  ): void {
    this.peers.heard(
      { kind, node, sequence, since },
      new TextEncoder().encode(queue),
    );
  }

  tick(count: number): void {
    for (let i = 0; i < count; i++) {
      this.peers.tick(this.link as unknown as Link);
    }
  }

  /** Resolves when what was asked was answered, and the answers were taken. */
  async answers(count: number): Promise<void> {
    await eventually(() => this.asked.length === count, "the questions");
    await new Promise((resolve) => setTimeout(resolve));
  }
}

Deno.test("Peers tells the others that this node is there, and when it goes", () => {
  const { now } = performance;
  performance.now = () => 1_000_000;
  using _ = { [Symbol.dispose]: () => void (performance.now = now) };
  const bench = new Bench();
  const link = bench.link as unknown as Link;
  performance.now = () => 1_000_700;
  const alive = { kind: "alive", key: everyNode, body: "own 700" };
  bench.peers.connected(link);
  assert.deepEqual(bench.told, [alive]);
  bench.tick(10);
  assert.deepEqual(bench.told, [alive, alive, alive]);
  bench.peers.leave(link);
  assert.deepEqual(bench.told.at(-1), {
    kind: "bye",
    key: everyNode,
    body: "",
  });
  bench.link.isReady = false;
  bench.tick(10);
  assert.equal(bench.told.length, 4);
});

Deno.test("Peers tells at once that this node gets messages, and knows when others said so", () => {
  const bench = new Bench();
  bench.hears = false;
  bench.peers.connected(bench.link as unknown as Link);
  bench.tick(1);
  bench.hears = true;
  bench.tick(4);
  assert.deepEqual(bench.numbers, [[1, 1], [2, 0], [2, 0]]);
  assert.equal(bench.peers.hearsMs(one), undefined);
  bench.hear("alive", one, "q1", [1, 0]);
  assert.equal(bench.peers.hearsMs(one), -Infinity);
  bench.hear("alive", one, "q1", [2, 0]);
  const heardMs = bench.peers.hearsMs(one)!;
  assert.ok(heardMs > 0);
  bench.hear("alive", one, "q1", [1, 0]);
  assert.equal(bench.peers.hearsMs(one), heardMs);
  bench.hear("bye", one);
  assert.equal(bench.peers.hearsMs(one), undefined);
});

Deno.test("Peers sees a split where nobody is heard and a queue can't be reached", async () => {
  const bench = new Bench();
  bench.states.set("q1", "there").set("q2", "away");
  bench.hear("alive", one, "q1");
  bench.hear("alive", two, "q2");
  assert.equal(bench.peers.size, 2);
  bench.tick(20);
  assert.deepEqual(bench.asked, []);
  bench.tick(15);
  await bench.answers(2);
  assert.equal(bench.peers.isCutOff, true);
  // One is enough to end it.
  bench.hear("alive", one, "q1");
  assert.equal(bench.peers.isCutOff, false);
});

Deno.test("Peers takes nodes for dead whose queues are there or gone", async () => {
  const bench = new Bench();
  bench.states.set("q1", "there").set("q2", "gone");
  bench.hear("alive", one, "q1");
  bench.hear("alive", two, "q2");
  bench.tick(35);
  await bench.answers(2);
  assert.equal(bench.peers.isCutOff, false);
  assert.equal(bench.peers.size, 1);
});

Deno.test("Peers doesn't count a broker's silence as an answer", async () => {
  const bench = new Bench();
  bench.states.set("q1", "away");
  bench.hear("alive", one, "q1");
  bench.tick(35);
  await bench.answers(1);
  assert.equal(bench.peers.isCutOff, true);
  bench.states.clear();
  bench.tick(15);
  await bench.answers(2);
  assert.equal(bench.peers.isCutOff, true);
});

Deno.test("Peers expects nothing of those who left, nor while the broker is blocked", async () => {
  const bench = new Bench();
  bench.states.set("q1", "away");
  bench.hear("alive", one, "q1");
  bench.hear("bye", one);
  bench.tick(100);
  assert.equal(bench.peers.size, 0);
  bench.hear("alive", one, "q1");
  bench.link.blocked = "low on memory";
  bench.tick(100);
  await Promise.resolve();
  assert.deepEqual(bench.asked, []);
});

Deno.test("Peers knows who is there and answers, until that goes, or isn't heard", () => {
  const bench = new Bench();
  const { peers } = bench;
  const old = "3".repeat(16);
  bench.hear("alive", one, "q1", [1, 0]);
  bench.hear("alive", two, "q2", [1, 1]);
  // Of a version that answers nobody.
  bench.hear("alive", old, "q3");
  assert.deepEqual(peers.present, [one, two]);
  bench.hear("bye", two);
  assert.deepEqual(peers.present, [one]);
  // The one that was new wanted to know.
  assert.deepEqual(bench.told.map(({ key }) => key), [`node.${two}`]);
  assert.deepEqual(bench.numbers, [[2, 0]]);
  const { now } = performance;
  const startMs = now.call(performance) + 9_000;
  try {
    performance.now = () => startMs;
    peers.connected(bench.link as unknown as Link);
    assert.deepEqual(bench.numbers[1], [2, 1]);
    assert.deepEqual([peers.areKnown, peers.present], [false, [one]]);
    performance.now = () => startMs + 1_001;
    assert.deepEqual([peers.areKnown, peers.present], [true, []]);
  } finally {
    performance.now = now;
  }
});

Deno.test("Peers tells who is heard again, or for the first time, and when it was started", () => {
  const bench = new Bench();
  const { peers, returns } = bench;
  const old = "3".repeat(16);
  const { now } = performance;
  let nowMs = 1_000_000;
  performance.now = () => nowMs;
  try {
    bench.hear("alive", one, "q1 5000", [1, 0]);
    bench.hear("alive", two, "q2", [1, 0]);
    // Of a version that answers nobody.
    bench.hear("alive", old, "q3 5000");
    assert.deepEqual(returns.splice(0), [[one, 995_000], [two, nowMs]]);
    nowMs += 9_000;
    // Any message is a sign of life.
    for (const node of [one, two, old]) peers.noticed(node);
    nowMs += 9_000;
    assert.deepEqual(peers.present, [one, two]);
    bench.hear("alive", one, "q1 23000", [1, 0]);
    assert.deepEqual(returns.splice(0), []);
    nowMs += 10_000;
    assert.deepEqual(peers.present, []);
    for (const node of [one, one, old]) peers.noticed(node);
    assert.deepEqual(returns.splice(0), [[one, 995_000]]);
    assert.deepEqual(peers.present, [one]);
    nowMs += 301_000;
    bench.tick(1);
    assert.equal(peers.size, 0);
    peers.noticed(one);
    bench.hear("alive", one, "q1 334000", [1, 0]);
    assert.deepEqual(returns, [[one, 995_000]]);
  } finally {
    performance.now = now;
  }
});

Deno.test("Peers remembers a bounded number of nodes, for five minutes", () => {
  const bench = new Bench();
  for (let i = 0; i < 2_000; i++) {
    bench.hear("alive", i.toString(16).padStart(16, "0"), "q");
  }
  assert.equal(bench.peers.size, 1_000);
  bench.hear("alive", one, "x".repeat(151));
  assert.equal(bench.peers.size, 1_000);
  const { now } = performance;
  const laterMs = now.call(performance) + 301_000;
  performance.now = () => laterMs;
  try {
    bench.tick(1);
  } finally {
    performance.now = now;
  }
  assert.equal(bench.peers.size, 0);
});
