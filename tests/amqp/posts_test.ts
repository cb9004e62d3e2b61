import assert from "node:assert/strict";
import type { Link } from "../../src/amqp/link.ts";
import { type Membership, newMembership } from "../../src/amqp/membership.ts";
import { Posts } from "../../src/amqp/posts.ts";
import type { Posted } from "../../src/relay/bridge.ts";
import { text } from "../helpers/messages.ts";

/** Posts of a node whose broker is a test's. */
class Bench {
  link: { blocked?: string } | undefined = {};
  membership: Membership | undefined;
  hasRoom = true;
  /** The number of the latest entry. */
  sequence = 0;
  readonly posts: Posts;

  constructor({ settleMs }: { settleMs?: number } = {}) {
    const linkNow = (): Link | undefined => this.link as Link | undefined;
    this.posts = new Posts({
      connector: {
        get link(): Link | undefined {
          return linkNow();
        },
      },
      sender: { post: () => this.hasRoom ? ++this.sequence : undefined },
      memberships: { byPath: () => this.membership },
      settleMs,
    });
  }

  /** Posts a message, and lets `then` happen once it is sent. */
  async post(then: () => void = () => {}, isReached = false): Promise<Posted> {
    const posted = this.posts.post("/a", text("x"), { isReached });
    // Sending takes a turn.
    await Promise.resolve();
    await Promise.resolve();
    then();
    return await posted;
  }

  answered({ isTaken = true, isReturned = false } = {}): void {
    this.posts.answered(this.sequence, { isTaken, isReturned });
  }
}

const unknown = {
  isConfirmed: false,
  reachedOthers: undefined,
  isGone: false,
};

Deno.test("Posts.post() waits for the confirm and another node's receipt, in either order", async () => {
  const bench = new Bench();
  const got = { isConfirmed: true, reachedOthers: true, isGone: false };
  assert.deepEqual(
    await bench.post(() => {
      bench.answered();
      bench.posts.received(bench.sequence, 2);
    }),
    got,
  );
  assert.deepEqual(
    await bench.post(() => {
      bench.posts.received(bench.sequence, 1);
      bench.answered();
    }),
    got,
  );
});

Deno.test("Posts.post() knows that nobody is there when the broker returns the message", async () => {
  const bench = new Bench();
  assert.deepEqual(
    await bench.post(() => bench.answered({ isReturned: true })),
    { isConfirmed: true, reachedOthers: false, isGone: true },
  );
});

Deno.test("Posts.post() doesn't believe that for a while after an outage", async () => {
  const bench = new Bench({ settleMs: 60_000 });
  bench.posts.disconnected();
  bench.posts.connected();
  assert.deepEqual(
    await bench.post(() => bench.answered({ isReturned: true })),
    { isConfirmed: true, reachedOthers: undefined, isGone: true },
  );
  const other = new Bench({ settleMs: 0 });
  other.posts.disconnected();
  other.posts.connected();
  const { reachedOthers } = await other.post(() =>
    other.answered({ isReturned: true })
  );
  assert.equal(reachedOthers, false);
});

Deno.test("Posts.post() sends nothing when the broker is away or blocked, or there is no room", async () => {
  const notSent = { ...unknown, isGone: true };
  const bench = new Bench();
  bench.hasRoom = false;
  assert.deepEqual(await bench.post(), notSent);
  bench.hasRoom = true;
  bench.link = { blocked: "memory" };
  assert.deepEqual(await bench.post(), notSent);
  bench.link = undefined;
  assert.deepEqual(await bench.post(), notSent);
  assert.equal(bench.sequence, 0);
});

Deno.test("Posts.post() knows nothing when the connection is lost meanwhile, unless a receipt has come", async () => {
  const bench = new Bench();
  assert.deepEqual(
    await bench.post(() => bench.posts.disconnected()),
    unknown,
  );
  assert.deepEqual(
    await bench.post(() => {
      bench.posts.received(bench.sequence, 1);
      bench.posts.disconnected();
    }),
    { ...unknown, reachedOthers: true },
  );
});

Deno.test("Posts.post() needs no receipt when members here got it", async () => {
  const bench = new Bench();
  assert.deepEqual(
    await bench.post(() => bench.answered(), true),
    { isConfirmed: true, reachedOthers: undefined, isGone: false },
  );
});

Deno.test("Posts.post() waits until this node has left the channel", async () => {
  const bench = new Bench();
  // It has been left, and the broker hasn't answered.
  bench.membership = { ...newMembership("/a"), state: "unbinding" };
  const posted = bench.posts.post("/a", text("x"), { isReached: false });
  await Promise.resolve();
  assert.equal(bench.sequence, 0);
  bench.membership = undefined;
  while (bench.sequence === 0) await new Promise((next) => setTimeout(next, 5));
  await Promise.resolve();
  bench.answered({ isReturned: true });
  assert.equal((await posted).reachedOthers, false);
});
