import assert from "node:assert/strict";
import type { Link } from "../../src/amqp/link.ts";
import { type Membership, newMembership } from "../../src/amqp/membership.ts";
import { Posts } from "../../src/amqp/posts.ts";
import type { Posted } from "../../src/relay/bridge.ts";
import { text } from "../helpers/messages.ts";
import { eventually } from "../../tools/eventually.ts";

/** Posts of a node whose broker is a test's. */
class Bench {
  readonly connector: { link: Link | undefined } = { link: {} as Link };
  membership: Membership | undefined;
  hasRoom = true;
  /** The number of the latest entry. */
  sequence = 0;
  readonly posts: Posts;

  constructor({ settleMs }: { settleMs?: number } = {}) {
    this.posts = new Posts({
      connector: this.connector,
      sender: { post: () => this.hasRoom ? ++this.sequence : undefined },
      memberships: { byPath: () => this.membership },
      settleMs,
    });
  }

  /** Posts a message, and lets `then` happen once it is sent. */
  async post(
    then: (bench: Bench) => void = () => {},
    { isReached = false } = {},
  ): Promise<Posted> {
    const posted = this.posts.post("/a", text("x"), { isReached });
    // Sending takes a turn.
    await Promise.resolve();
    await Promise.resolve();
    then(this);
    return await posted;
  }

  answered({ isReturned = false } = {}): void {
    this.posts.answered(this.sequence, { isTaken: true, isReturned });
  }
}

function posted(
  isConfirmed: boolean,
  reachedOthers: boolean | undefined,
  isGone = false,
): Posted {
  return { isConfirmed, reachedOthers, isGone };
}

/** What may happen once the message is sent. */
const events = {
  confirm: (bench: Bench) => bench.answered(),
  return: (bench: Bench) => bench.answered({ isReturned: true }),
  receipt: ({ posts, sequence }: Bench) => posts.received(sequence, 1),
  cut: ({ posts }: Bench) => posts.disconnected(),
};

const cases: [string, (keyof typeof events)[], Posted][] = [
  ["waits for confirm and receipt", ["confirm", "receipt"], posted(true, true)],
  ["takes the receipt first", ["receipt", "confirm"], posted(true, true)],
  ["knows that nobody is there", ["return"], posted(true, false, true)],
  ["knows nothing after a cut", ["cut"], posted(false, undefined)],
  ["keeps the receipt after a cut", ["receipt", "cut"], posted(false, true)],
];
for (const [name, happening, expected] of cases) {
  Deno.test(`Posts.post() ${name}`, async () => {
    const result = await new Bench().post((bench) => {
      for (const event of happening) events[event](bench);
    });
    assert.deepEqual(result, expected);
  });
}

Deno.test("Posts.post() doesn't believe for a while after an outage that nobody is there", async () => {
  for (const settleMs of [60_000, 0]) {
    const bench = new Bench({ settleMs });
    bench.posts.disconnected();
    bench.posts.connected();
    const reachedOthers = settleMs === 0 ? false : undefined;
    assert.deepEqual(
      await bench.post(events.return),
      posted(true, reachedOthers, true),
    );
  }
});

Deno.test("Posts.post() sends nothing when the broker is away or blocked, or there is no room", async () => {
  const bench = new Bench();
  const obstacles = [
    () => bench.hasRoom = false,
    () => bench.connector.link = { blocked: "memory" } as Link,
    () => bench.connector.link = undefined,
  ];
  for (const obstruct of obstacles) {
    obstruct();
    assert.deepEqual(await bench.post(), posted(false, undefined, true));
    bench.hasRoom = true;
  }
  assert.equal(bench.sequence, 0);
});

Deno.test("Posts.post() needs no receipt when members here got it", async () => {
  const bench = new Bench();
  assert.deepEqual(
    await bench.post(events.confirm, { isReached: true }),
    posted(true, undefined),
  );
});

Deno.test("Posts.post() waits until this node has left the channel", async () => {
  const bench = new Bench();
  // It has been left, and the broker hasn't answered.
  bench.membership = { ...newMembership("/a"), state: "unbinding" };
  const result = bench.post();
  await Promise.resolve();
  assert.equal(bench.sequence, 0);
  bench.membership = undefined;
  await eventually(() => bench.sequence > 0, "the message");
  bench.answered({ isReturned: true });
  assert.equal((await result).reachedOthers, false);
});
