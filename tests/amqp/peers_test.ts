import assert from "node:assert/strict";
import type { Link } from "../../src/amqp/link.ts";
import { Peers } from "../../src/amqp/peers.ts";
import type { QueueState } from "../../src/amqp/queue_search.ts";
import { eventually } from "../../tools/eventually.ts";
import { Clock, one, turn, two } from "./fakes.ts";

/** A node that knows others, and a broker that says what a test wants of their queues. */
class Bench {
  /** What the node told: kind, key and body, and its two numbers. */
  readonly told: string[] = [];
  readonly asked: string[] = [];
  /** Who was heard again, and when it was connected first. */
  readonly returns: [node: string, startMs: number][] = [];
  readonly states = new Map<string, QueueState>();
  /** Whether the node gets messages. */
  hears = true;
  readonly fake = {
    isReady: true,
    blocked: undefined as string | undefined,
    findQueue: (name: string): Promise<QueueState> => {
      this.asked.push(name);
      const state = this.states.get(name);
      return state ? Promise.resolve(state) : Promise.reject(new Error("?"));
    },
  };
  readonly link = this.fake as unknown as Link;
  readonly peers = new Peers({
    connector: { link: this.link },
    sender: {
      publishNews: (_, { kind, key, body, sequence, since }) => {
        const text = new TextDecoder().decode(body);
        this.told.push(`${kind} ${key} "${text}" ${sequence} ${since}`);
      },
    },
    queue: () => "own",
    hears: () => this.hears,
    onReturn: (node, startMs) => void this.returns.push([node, startMs]),
  });

  /** Lets another node say that it is there, or goes. */
  hear(node: string, queue = "q", [sequence, since] = [0, 0]): void {
    const body = new TextEncoder().encode(queue);
    this.peers.heard({ kind: "alive", node, sequence, since }, body);
  }

  bye(node: string): void {
    const envelope = { kind: "bye", node, sequence: 0, since: 0 } as const;
    this.peers.heard(envelope, new Uint8Array());
  }

  tick(count: number): void {
    for (let i = 0; i < count; i++) this.peers.tick(this.link);
  }

  /** Resolves when what was asked was answered, and the answers were taken. */
  async answers(count: number): Promise<void> {
    await eventually(() => this.asked.length === count, "the questions");
    await turn();
  }
}

Deno.test("Peers tells the others that this node is there, and when it goes", () => {
  using clock = new Clock();
  const bench = new Bench();
  // It can't have sent anything before.
  clock.nowMs += 5_000;
  bench.peers.connected(bench.link);
  clock.nowMs += 700;
  bench.tick(10);
  const alive = 'alive all "own 700" 2 0';
  assert.deepEqual(bench.told, ['alive all "own 0" 2 1', alive, alive]);
  bench.peers.leave(bench.link);
  assert.equal(bench.told.at(-1), 'bye all "" 0 0');
  bench.fake.isReady = false;
  bench.tick(10);
  assert.equal(bench.told.length, 4);
});

Deno.test("Peers tells at once that this node gets messages, and knows when others said so", () => {
  const bench = new Bench();
  bench.hears = false;
  bench.peers.connected(bench.link);
  bench.tick(1);
  bench.hears = true;
  bench.tick(4);
  const numbers = bench.told.map((each) => each.slice(-3));
  assert.deepEqual(numbers, ["1 1", "2 0", "2 0"]);
  assert.equal(bench.peers.hearsMs(one), undefined);
  bench.hear(one, "q", [1, 0]);
  assert.equal(bench.peers.hearsMs(one), -Infinity);
  bench.hear(one, "q", [2, 0]);
  const heardMs = bench.peers.hearsMs(one)!;
  assert.ok(heardMs > 0);
  bench.hear(one, "q", [1, 0]);
  assert.equal(bench.peers.hearsMs(one), heardMs);
  bench.bye(one);
  assert.equal(bench.peers.hearsMs(one), undefined);
});

Deno.test("Peers sees a split where nobody is heard and a queue can't be reached", async () => {
  const cases: [QueueState, isCutOff: boolean, size: number][] = [
    ["away", true, 2],
    // Its node is dead.
    ["gone", false, 1],
    ["there", false, 2],
  ];
  for (const [state, isCutOff, size] of cases) {
    const bench = new Bench();
    bench.states.set("q1", "there").set("q2", state);
    bench.hear(one, "q1");
    bench.hear(two, "q2");
    bench.tick(20);
    assert.deepEqual(bench.asked, []);
    bench.tick(15);
    await bench.answers(2);
    assert.deepEqual([bench.peers.isCutOff, bench.peers.size], [
      isCutOff,
      size,
    ]);
    // The broker's silence is no answer.
    bench.states.clear();
    bench.tick(15);
    await bench.answers(2 + size);
    assert.equal(bench.peers.isCutOff, isCutOff);
    // One is enough to end it.
    bench.hear(one, "q1");
    assert.equal(bench.peers.isCutOff, false);
  }
});

Deno.test("Peers expects nothing of those who left, nor while the broker is blocked", async () => {
  const bench = new Bench();
  bench.states.set("q", "away");
  bench.hear(one);
  bench.bye(one);
  bench.tick(100);
  assert.equal(bench.peers.size, 0);
  bench.hear(one);
  bench.fake.blocked = "low on memory";
  bench.tick(100);
  await Promise.resolve();
  assert.deepEqual(bench.asked, []);
});

Deno.test("Peers knows who is there and answers, until that goes, or isn't heard", () => {
  using clock = new Clock();
  const bench = new Bench();
  const { peers } = bench;
  bench.hear(one, "q1", [1, 0]);
  bench.hear(two, "q2", [1, 1]);
  // Of a version that answers nobody.
  bench.hear("3".repeat(16), "q3");
  assert.deepEqual(peers.present, [one, two]);
  bench.bye(two);
  assert.deepEqual(peers.present, [one]);
  // The one that was new wanted to know.
  assert.deepEqual(bench.told, [`alive node.${two} "own 0" 2 0`]);
  clock.nowMs += 9_000;
  peers.connected(bench.link);
  assert.deepEqual([peers.areKnown, peers.present], [false, [one]]);
  clock.nowMs += 1_001;
  assert.deepEqual([peers.areKnown, peers.present], [true, []]);
});

Deno.test("Peers tells who is heard again, or for the first time, and when it was connected first", () => {
  using clock = new Clock(1_000_000);
  const bench = new Bench();
  const { peers, returns } = bench;
  const old = "3".repeat(16);
  bench.hear(one, "q1 5000", [1, 0]);
  bench.hear(two, "q2", [1, 0]);
  // Of a version that answers nobody.
  bench.hear(old, "q3 5000");
  assert.deepEqual(returns.splice(0), [[one, 995_000], [two, clock.nowMs]]);
  clock.nowMs += 9_000;
  // Any message is a sign of life.
  for (const node of [one, two, old]) peers.noticed(node);
  clock.nowMs += 9_000;
  assert.deepEqual(peers.present, [one, two]);
  bench.hear(one, "q1 23000", [1, 0]);
  assert.deepEqual(returns.splice(0), []);
  clock.nowMs += 10_000;
  assert.deepEqual(peers.present, []);
  for (const node of [one, one, old]) peers.noticed(node);
  assert.deepEqual(returns.splice(0), [[one, 995_000]]);
  assert.deepEqual(peers.present, [one]);
  clock.nowMs += 301_000;
  bench.tick(1);
  assert.equal(peers.size, 0);
  peers.noticed(one);
  bench.hear(one, "q1 334000", [1, 0]);
  assert.deepEqual(returns, [[one, 995_000]]);
});

Deno.test("Peers remembers a bounded number of nodes, for five minutes", () => {
  using clock = new Clock();
  const bench = new Bench();
  for (let i = 0; i < 2_000; i++) {
    bench.hear(i.toString(16).padStart(16, "0"));
  }
  assert.equal(bench.peers.size, 1_000);
  bench.hear(one, "x".repeat(151));
  assert.equal(bench.peers.size, 1_000);
  clock.nowMs += 301_000;
  bench.tick(1);
  assert.equal(bench.peers.size, 0);
});
