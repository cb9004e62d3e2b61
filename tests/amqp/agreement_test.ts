import assert from "node:assert/strict";
import { Agreement } from "../../src/amqp/agreement.ts";
import { Answers } from "../../src/amqp/answers.ts";
import {
  readQuestion,
  writeAnswer,
  writeQuestion,
} from "../../src/amqp/ask.ts";
import type { Link } from "../../src/amqp/link.ts";
import type { Membership } from "../../src/amqp/membership.ts";
import { everyNode } from "../../src/amqp/outbox.ts";
import type { News } from "../../src/amqp/sender.ts";
import { eventually } from "../../tools/eventually.ts";
import { bindingLink, makeMemberships, one, own, turn, two } from "./fakes.ts";

/** What a node told others. */
type Told = Required<News>;

/** A node that joins channels, and others that answer as a test wants. */
class Bench {
  /** What the node told, in order. */
  readonly told: Told[] = [];
  readonly gaps: string[] = [];
  /** The other nodes that are there. */
  readonly present = [one, two];
  readonly connector: { link: Link | undefined } = {
    link: { isReady: true } as Link,
  };
  readonly sender = {
    sentUpTo: 7,
    sentBefore: (ms: number): number => ms > performance.now() - 1_400 ? 6 : 4,
    publishNews: (_: Link, news: News) =>
      void this.told.push({ sequence: 0, since: 0, ...news }),
  };
  readonly memberships = makeMemberships({
    onBound: (membership) => this.agreement.reach(membership),
    latestProbe: () => 1,
  });
  readonly agreement: Agreement;

  constructor({ isCluster = true, waitMs = 5_000 } = {}) {
    this.agreement = new Agreement({
      node: own,
      isCluster,
      waitMs,
      connector: this.connector,
      sender: this.sender,
      probe: { ask: () => {} },
      memberships: this.memberships,
      // Others may come and go.
      peers: { areKnown: true, present: this.present, hearsMs: () => Infinity },
      onGap: ({ path }) => void this.gaps.push(path),
    });
    this.memberships.connected(bindingLink, "queue");
  }

  channel(path = "/a"): Membership {
    return this.memberships.byPath(path)!;
  }

  /** Begins a join, and tells whether it has succeeded. */
  join(path = "/a"): { isDone: boolean; done: Promise<void> } {
    const done = this.memberships.join(path).then(() => {
      join.isDone = true;
    });
    const join = { isDone: false, done };
    return join;
  }

  /** Begins a join, and resolves when this node has asked. */
  async joinAndAsk(): Promise<ReturnType<Bench["join"]>> {
    const join = this.join();
    await this.asked();
    return join;
  }

  /** Resolves with what was asked, as soon as that are `count` questions. */
  async asked(count = 1): Promise<Told[]> {
    const asks = () => this.told.filter(({ kind }) => kind === "ask");
    await eventually(() => asks().length >= count, "a question");
    return asks();
  }

  /** Lets a node answer the first question: it has sent 50 messages, 40 of them by the time that it is asked about. */
  answer(node: string, { ageMs = 0, before = 40 } = {}): void {
    const envelope = { kind: "answer", node, sequence: 1, since: 0 } as const;
    const sent = ageMs > 0 ? Array(60).fill(before) : [];
    this.agreement.answered(envelope, writeAnswer({ last: 50, ageMs, sent }));
  }

  /** Lets something that a node sent for the first question come through the channel's binding. */
  echo(node: string, asker = own): void {
    const envelope = { kind: "echo", node, sequence: 1, since: 0 } as const;
    const body = new TextEncoder().encode(asker);
    this.agreement.echoed(envelope, this.channel().key, body);
  }

  /** Lets a message come, and tells what it is. */
  message(node: string, sequence: number, since: number): string {
    const envelope = { kind: "text", node, sequence, since } as const;
    return this.channel().tracker.message(envelope);
  }
}

// It was: the 101 came when one broker had the binding, and what another node sent to
// another broker right after that was lost, and nobody was told.
Deno.test("Agreement.reach() waits until every node has told its number, and is heard in the channel", async () => {
  const bench = new Bench();
  const join = bench.join();
  const [ask] = await bench.asked();
  const { kind, key, sequence, since, body } = ask!;
  assert.deepEqual([kind, key, sequence, since], ["ask", everyNode, 1, 7]);
  const keys = [bench.channel().key];
  assert.deepEqual(readQuestion(body), { keys, ageMs: 0 });
  const steps = [
    () => bench.answer(one),
    () => bench.echo(one),
    () => bench.answer(two),
    // Somebody else's question.
    () => bench.echo(two, one),
    () => bench.echo(two),
    // What was in the queue before is out of it.
    () => bench.agreement.returned(1),
  ];
  for (const step of steps) {
    await turn();
    assert.equal(join.isDone, false);
    step();
  }
  await join.done;
  assert.equal(bench.agreement.counts.unanswered, 0);
  // Whatever is lost from now on shows.
  assert.equal(bench.message(one, 52, 51), "gap");
  assert.equal(bench.message(two, 51, 30), "next");
});

Deno.test("Agreement forgets what was missing before a join succeeds", async () => {
  const bench = new Bench();
  const join = await bench.joinAndAsk();
  assert.equal(bench.message(one, 46, 45), "next");
  assert.equal(bench.message(two, 60, 59), "next");
  for (const node of [one, two]) {
    bench.answer(node);
    bench.echo(node);
  }
  bench.agreement.returned(1);
  await join.done;
  // 48 and 50 were lost before anybody was there.
  assert.equal(bench.message(one, 51, 50), "next");
  // A node that sends it again has told the number before it.
  assert.equal(bench.message(two, 60, 59), "duplicate");
});

Deno.test("Agreement lets nobody in for an answer to a join before", async () => {
  const bench = new Bench();
  const joins = [await bench.joinAndAsk(), bench.join()];
  bench.memberships.leave("/a");
  joins.push(bench.join());
  await bench.asked(2);
  bench.present.length = 0;
  bench.agreement.returned(1);
  await turn();
  assert.deepEqual(joins.map(({ isDone }) => isDone), [false, false, false]);
  bench.agreement.returned(2);
  await Promise.all(joins.map(({ done }) => done));
});

Deno.test("Agreement asks those again that aren't heard, and waits for nobody who has gone", async () => {
  const bench = new Bench();
  const join = await bench.joinAndAsk();
  bench.agreement.returned(1);
  bench.answer(one);
  bench.echo(one);
  bench.answer(two);
  const [, again] = await bench.asked(2);
  assert.equal(again!.key, `node.${two}`);
  assert.equal(join.isDone, false);
  bench.present.pop();
  await join.done;
});

Deno.test("Agreement asks once for channels that are joined at about the same time, up to a hundred", async () => {
  const bench = new Bench();
  bench.present.length = 0;
  const joins = Array.from({ length: 150 }, (_, i) => bench.join(`/${i}`));
  await Promise.all(joins.map(({ done }) => done));
  const counts = bench.told.map(({ body }) => readQuestion(body).keys.length);
  assert.equal(counts.reduce((sum, count) => sum + count), 150);
  assert.ok(Math.max(...counts) <= 100);
  assert.ok(counts.length < 20, `got ${counts.length} questions`);
});

Deno.test("Agreement makes nobody wait where there is one broker, or it takes nothing", async () => {
  const single = new Bench({ isCluster: false });
  await single.join().done;
  const blocked = new Bench();
  blocked.connector.link = { isReady: false, blocked: "memory" } as Link;
  await blocked.join().done;
  // Nor later, when its clients have been in the channel for long.
  blocked.connector.link = { isReady: true } as Link;
  assert.equal(blocked.agreement.reach(blocked.channel()), undefined);
  assert.deepEqual([...single.told, ...blocked.told], []);
});

Deno.test("Agreement ends its waits with the connection, and takes answers on the next one", async () => {
  const bench = new Bench();
  const join = await bench.joinAndAsk();
  bench.connector.link = undefined;
  bench.agreement.disconnected();
  bench.memberships.disconnected();
  await join.done;
  await bench.agreement.reach(bench.channel());
  assert.equal(bench.agreement.counts.unanswered, 0);
  bench.message(one, 45, 44);
  bench.answer(one, { ageMs: 5_000 });
  assert.deepEqual(bench.gaps, ["/a"]);
});

Deno.test("Agreement counts joins that aren't answered in time, and goes on asking", async () => {
  const bench = new Bench({ waitMs: 50 });
  const join = await bench.joinAndAsk();
  bench.answer(one);
  bench.echo(one);
  await join.done;
  assert.equal(bench.agreement.counts.unanswered, 1);
  // It comes too late.
  bench.answer(two);
  bench.told.length = 0;
  bench.agreement.tick();
  assert.deepEqual(bench.told.map(({ key }) => key), [`node.${two}`]);
});

// It was: what a node sent between its answer and the join was told when it was
// lost, as its broker didn't route by the binding.
Deno.test("Agreement asks a node again that has answered, and isn't heard", async () => {
  const cases: [since: number, before: number, gaps: string[]][] = [
    [55, 56, []],
    [58, 56, ["/a"]],
    // What it told while joins waited holds in any case.
    [50, 1, []],
  ];
  for (const [since, before, gaps] of cases) {
    const bench = new Bench({ waitMs: 50 });
    const join = await bench.joinAndAsk();
    bench.answer(one);
    await join.done;
    assert.equal(bench.message(one, 60, since), "next");
    bench.answer(one, { ageMs: 5_000, before });
    assert.deepEqual(bench.gaps, gaps);
  }
});

// It was: what a node sent on its side of a split cluster to clients who joined
// meanwhile was lost, and nobody was told.
Deno.test("Agreement asks a node that is back what it sent since joins that didn't wait for it", async () => {
  const startMs = performance.now();
  const bench = new Bench();
  bench.present.length = 0;
  const joins = [bench.join("/a"), bench.join("/b")];
  await Promise.all(joins.map(({ done }) => done));
  bench.message(one, 45, 44);
  bench.told.length = 0;
  // One that was connected later has sent nothing that anybody could have missed.
  bench.agreement.nodeReturned(two, performance.now());
  // At once: whatever it sends until it answers comes to those who missed something.
  bench.agreement.nodeReturned(one, startMs);
  bench.agreement.nodeReturned(one, startMs);
  assert.deepEqual(bench.told.map(({ key }) => key), [`node.${one}`]);
  const { keys, ageMs } = readQuestion(bench.told[0]!.body);
  assert.equal(keys.length, 2);
  assert.ok(ageMs > 0);
  bench.answer(one, { ageMs });
  assert.deepEqual(bench.gaps, ["/a"]);
  // Now all is known.
  bench.agreement.nodeReturned(one, startMs);
  assert.equal(bench.told.length, 1);
});

Deno.test("Answers tell a number first, then come through each channel, as soon as there is a connection", async () => {
  const bench = new Bench({ isCluster: false });
  const { connector, sender, memberships } = bench;
  await bench.join().done;
  memberships.probed(2);
  const answers = new Answers({ connector, sender, memberships });
  const { link } = connector;
  connector.link = undefined;
  const keys = [bench.channel().key, "f".repeat(64)];
  const ask = (ageMs: number): void =>
    answers.asked(
      { kind: "ask", node: one, sequence: 9, since: 20 },
      writeQuestion({ keys, ageMs }),
    );
  ask(0);
  answers.flush();
  assert.deepEqual(bench.told, []);
  connector.link = link;
  answers.flush();
  answers.flush();
  // No join waits for this one.
  ask(1_000);
  assert.deepEqual(
    bench.told.map(({ kind, key, sequence, since, body }) =>
      [kind, key, sequence, since, new TextDecoder().decode(body)].join(" ")
    ),
    [
      `answer node.${one} 9 0 7 0`,
      ...keys.map((key) => `echo ${key} 9 0 ${one}`),
      `answer node.${one} 9 0 7 1000 6 6${" 4".repeat(58)}`,
    ],
  );
  // The one who asked had sent 20.
  assert.equal(bench.message(one, 22, 21), "gap");
});
