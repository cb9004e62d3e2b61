import assert from "node:assert/strict";
import { Agreement } from "../../src/amqp/agreement.ts";
import { Answers } from "../../src/amqp/answers.ts";
import { readKeys, writeKeys } from "../../src/amqp/ask.ts";
import type { Link } from "../../src/amqp/link.ts";
import type { Membership } from "../../src/amqp/membership.ts";
import { Memberships } from "../../src/amqp/memberships.ts";
import { everyNode } from "../../src/amqp/outbox.ts";
import type { News } from "../../src/amqp/sender.ts";
import { eventually } from "../helpers/eventually.ts";

const own = "0123456789abcdef";
const [one, two] = ["1".repeat(16), "2".repeat(16)] as const;

/** What the first question is called when it is sent first. */
const firstLabel = 16;

/** What a node told others. */
type Told = Required<News>;

/** A node that joins channels, and others that answer as a test wants. */
class Bench {
  /** What the node told, in order. */
  readonly told: Told[] = [];
  readonly gaps: string[] = [];
  /** The other nodes that are there. */
  present: string[] = [one, two];
  readonly connector: { link: Link | undefined } = {
    link: { isReady: true } as Link,
  };
  readonly sender = {
    sentUpTo: 7,
    publishNews: (_: Link, news: News) =>
      void this.told.push({ sequence: 0, since: 0, ...news }),
  };
  readonly memberships = new Memberships({
    onOutage: "local",
    joinTimeoutMs: 5_000,
    onMissed: () => assert.fail("Nothing was bound too late"),
    onDoubtful: () => {},
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
      // Others may come and go.
      peers: Object.defineProperty({ areKnown: true, present: [] }, "present", {
        get: () => this.present,
      }),
      onGap: ({ path }) => void this.gaps.push(path),
    });
    this.memberships.connected({
      bind: () => Promise.resolve(),
      unbind: () => Promise.resolve(),
    }, "queue");
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

  /** Resolves with what was asked, as soon as that are `count` questions. */
  async asked(count = 1): Promise<Told[]> {
    const asks = () => this.told.filter(({ kind }) => kind === "ask");
    await eventually(() => asks().length >= count, "a question");
    return asks();
  }

  /** Lets a node answer the first question, or its repetition: by default it has sent 50 messages, 40 of them before that. */
  answer(
    node: string,
    { last = 50, before = 40, label = firstLabel } = {},
  ): void {
    const envelope = { kind: "answer", node, sequence: label } as const;
    const body = new TextEncoder().encode(String(last));
    this.agreement.answered({ ...envelope, since: before }, body);
  }

  /** Lets something that a node sent for the first question come through the channel's binding. */
  echo(node: string, { asker = own, path = "/a" } = {}): void {
    const envelope = { node, sequence: firstLabel, since: 0 };
    const body = new TextEncoder().encode(asker);
    const { key } = this.channel(path);
    this.agreement.echoed({ kind: "echo", ...envelope }, key, body);
  }

  /** Lets a message come, and tells what it is. */
  message(node: string, sequence: number, since: number): string {
    const envelope = { kind: "text", node, sequence, since } as const;
    return this.channel().tracker.message(envelope);
  }
}

/** Lets whatever is due happen. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

// It was: the 101 came when one broker had the binding, and what another node sent to
// another broker right after that was lost, and nobody was told.
Deno.test("Agreement.reach() waits until every node has told its number, and is heard in the channel", async () => {
  const bench = new Bench();
  const join = bench.join();
  const [ask] = await bench.asked();
  const { kind, key, sequence, since, body } = ask!;
  assert.deepEqual([kind, key, sequence, since], [
    "ask",
    everyNode,
    firstLabel,
    7,
  ]);
  assert.deepEqual(readKeys(body), [bench.channel().key]);
  const steps = [
    () => bench.answer(one),
    () => bench.echo(one),
    () => bench.answer(two),
    // Somebody else's question.
    () => bench.echo(two, { asker: one }),
    () => bench.echo(two),
    // What was in the queue before is out of it.
    () => bench.agreement.returned(firstLabel),
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
  const join = bench.join();
  await bench.asked();
  assert.equal(bench.message(one, 46, 45), "next");
  assert.equal(bench.message(two, 60, 59), "next");
  for (const node of [one, two]) {
    bench.answer(node);
    bench.echo(node);
  }
  bench.agreement.returned(firstLabel);
  await join.done;
  // 48 and 50 were lost before anybody was there.
  assert.equal(bench.message(one, 51, 50), "next");
  // A node that sends it again has told the number before it.
  assert.equal(bench.message(two, 60, 59), "duplicate");
});

Deno.test("Agreement lets nobody in for an answer to a join before", async () => {
  const bench = new Bench();
  const joins = [bench.join()];
  await bench.asked();
  joins.push(bench.join());
  bench.memberships.leave("/a");
  joins.push(bench.join());
  await bench.asked(2);
  bench.present = [];
  bench.agreement.returned(firstLabel);
  await turn();
  assert.deepEqual(joins.map(({ isDone }) => isDone), [false, false, false]);
  bench.agreement.returned(2 * firstLabel);
  await Promise.all(joins.map(({ done }) => done));
});

Deno.test("Agreement asks those again that aren't heard, and waits for nobody who has gone", async () => {
  const bench = new Bench();
  const join = bench.join();
  await bench.asked();
  bench.agreement.returned(firstLabel);
  bench.answer(one);
  bench.echo(one);
  bench.answer(two);
  const [, again] = await bench.asked(2);
  assert.equal(again!.key, `node.${two}`);
  assert.equal(join.isDone, false);
  bench.present = [one];
  await join.done;
});

Deno.test("Agreement asks once for channels that are joined at about the same time, up to a hundred", async () => {
  const bench = new Bench();
  bench.present = [];
  const joins = Array.from({ length: 150 }, (_, i) => bench.join(`/${i}`));
  await Promise.all(joins.map(({ done }) => done));
  const counts = bench.told.map(({ body }) => readKeys(body).length);
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
  assert.equal(blocked.agreement.reach(blocked.channel()), undefined);
  assert.deepEqual([...single.told, ...blocked.told], []);
});

const late: Record<
  string,
  {
    before: number;
    heard?: [number, number];
    next?: [number, number, string];
    told: boolean;
  }
> = {
  "nothing is missing": { before: 40, heard: [41, 38], told: false },
  "something is missing before the first message": {
    ...{ before: 40, heard: [43, 41] },
    told: true,
  },
  "the first message is its node's first one there": {
    ...{ before: 40, heard: [43, 0] },
    told: false,
  },
  "nothing was heard, and the next message follows another one": {
    ...{ before: 40, told: false },
    next: [43, 41, "gap"],
  },
  "what is missing behind the first message was sent before": {
    ...{ before: 40, heard: [38, 30], told: false },
    next: [43, 39, "next"],
  },
};
for (const [name, { before, heard, next, told }] of Object.entries(late)) {
  Deno.test(`Agreement judges by an answer that comes too late: ${name}`, async () => {
    const bench = new Bench({ waitMs: 1 });
    await bench.join().done;
    assert.equal(bench.agreement.counts.unanswered, 1);
    if (heard) assert.equal(bench.message(one, ...heard), "next");
    bench.answer(one, { before });
    bench.answer(one, { before: 0 });
    assert.deepEqual(bench.gaps, told ? ["/a"] : []);
    if (!next) return;
    const [sequence, since, verdict] = next;
    assert.equal(bench.message(one, sequence, since), verdict);
  });
}

Deno.test("Agreement judges late answers by the last time that it asked", async () => {
  const bench = new Bench({ waitMs: 150 });
  await bench.join().done;
  const labels = (await bench.asked()).map(({ sequence }) => sequence);
  assert.deepEqual(labels, [firstLabel, firstLabel + 1, firstLabel + 1]);
  assert.equal(bench.message(one, 45, 44), "next");
  bench.answer(one, { before: 40 });
  bench.answer(one, { before: 44, label: firstLabel + 1 });
  assert.deepEqual(bench.gaps, []);
});

Deno.test("Agreement ends its waits with the connection, and asks again on the next one", async () => {
  const bench = new Bench();
  const { link } = bench.connector;
  const join = bench.join();
  await bench.asked();
  bench.connector.link = undefined;
  bench.agreement.disconnected();
  bench.memberships.disconnected();
  await join.done;
  bench.connector.link = link;
  await bench.agreement.reach(bench.channel());
  assert.equal(bench.agreement.counts.unanswered, 0);
  bench.agreement.connected();
  assert.deepEqual((await bench.asked(2)).map(({ sequence }) => sequence), [
    firstLabel,
    firstLabel,
  ]);
  bench.message(one, 45, 44);
  bench.answer(one);
  assert.deepEqual(bench.gaps, ["/a"]);
});

Deno.test("Agreement tells of channels for which a node that is there never answers", async () => {
  for (const isGone of [false, true]) {
    const bench = new Bench({ waitMs: 1 });
    await bench.join().done;
    await bench.join("/left").done;
    bench.memberships.leave("/left");
    bench.agreement.tick();
    assert.deepEqual(bench.gaps, []);
    if (isGone) bench.present = [];
    const { now } = performance;
    const laterMs = now.call(performance) + 31_000;
    performance.now = () => laterMs;
    try {
      bench.agreement.tick();
      bench.agreement.tick();
    } finally {
      performance.now = now;
    }
    assert.deepEqual(bench.gaps, isGone ? [] : ["/a"]);
  }
});

Deno.test("Answers tell a number first, then come through each channel, as soon as there is a connection", async () => {
  const bench = new Bench({ isCluster: false });
  const { connector, sender, memberships } = bench;
  await bench.join().done;
  memberships.probed(2);
  const answers = new Answers({ connector, sender, memberships });
  const { link } = connector;
  connector.link = undefined;
  answers.cameBack(5);
  answers.cameBack(3);
  const keys = [bench.channel().key, "f".repeat(64)];
  const envelope = { kind: "ask", node: one, sequence: 9, since: 20 } as const;
  answers.asked(envelope, writeKeys(keys));
  answers.flush();
  assert.deepEqual(bench.told, []);
  connector.link = link;
  // It came back after the question.
  answers.cameBack(6);
  answers.flush();
  answers.flush();
  assert.deepEqual(
    bench.told.map(({ kind, key, sequence, since, body }) =>
      [kind, key, sequence, since, new TextDecoder().decode(body)].join(" ")
    ),
    [
      `answer node.${one} 9 5 7`,
      ...keys.map((key) => `echo ${key} 9 0 ${one}`),
    ],
  );
  // The one who asked had sent 20.
  assert.equal(bench.message(one, 22, 21), "gap");
});
