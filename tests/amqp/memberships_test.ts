import assert from "node:assert/strict";
import type { Binding } from "../../src/amqp/link.ts";
import { type Memberships, slotCount } from "../../src/amqp/memberships.ts";
import type { Membership } from "../../src/amqp/membership.ts";
import { BridgeUnavailableError } from "../../src/relay/bridge.ts";
import { channelKey } from "../../src/relay/channel_hash.ts";
import { eventually } from "../../tools/eventually.ts";
import { fc } from "../helpers/property.ts";
import { makeMemberships, silentLink } from "./fakes.ts";

/** A broker's bindings, and which operations are under way. */
class FakeBroker {
  readonly bound = new Set<string>();
  readonly busy = new Set<string>();
  readonly #busySlots = new Set<number>();
  most = 0;

  async bind(slot: number, { key }: Binding): Promise<void> {
    await this.#act(key, slot);
    this.bound.add(key);
  }

  async unbind(slot: number, { key }: Binding): Promise<void> {
    await this.#act(key, slot);
    this.bound.delete(key);
  }

  async #act(key: string, slot: number): Promise<void> {
    assert.ok(!this.busy.has(key), "two operations on one channel");
    assert.ok(!this.#busySlots.has(slot), "two operations in one slot");
    this.#busySlots.add(slot);
    this.busy.add(key);
    this.most = Math.max(this.most, this.busy.size);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 2));
    this.busy.delete(key);
    this.#busySlots.delete(slot);
  }
}

/** Makes channels, and the broker that they are connected to. */
function start(
  options?: Parameters<typeof makeMemberships>[0],
): { memberships: Memberships; broker: FakeBroker } {
  const memberships = makeMemberships(options);
  const broker = new FakeBroker();
  memberships.connected(broker, "queue");
  return { memberships, broker };
}

Deno.test("Memberships: the last call counts, whatever connections do meanwhile", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.tuple(fc.constantFrom("join", "leave", "cut", "wait"), fc.nat(3)),
        { maxLength: 60 },
      ),
      async (steps) => {
        const { memberships, broker } = start();
        const joined = new Set<string>();
        for (const [what, i] of steps) {
          const path = `/${i}`;
          if (what === "join") {
            void memberships.join(path);
            joined.add(path);
          } else if (what === "leave") {
            memberships.leave(path);
            joined.delete(path);
          } else if (what === "cut") {
            memberships.disconnected();
            // What was under way still reaches the broker.
            await eventually(() => broker.busy.size === 0, "the broker");
            memberships.connected(broker, "queue");
          } else await new Promise((resolve) => setTimeout(resolve, i));
        }
        const wanted = [...joined].map(channelKey).sort();
        await eventually(
          () =>
            broker.busy.size === 0 && memberships.waiting === 0 &&
            memberships.size === joined.size,
          "everything to settle",
        );
        assert.deepEqual([...broker.bound].sort(), wanted);
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("Memberships binds no more channels at once than there are slots", async () => {
  const { memberships, broker } = start();
  const joins = Array.from(
    { length: 4 * slotCount },
    (_, i) => memberships.join(`/${i}`),
  );
  assert.equal(memberships.waiting, 3 * slotCount);
  await Promise.all(joins);
  assert.equal(broker.most, slotCount);
  assert.equal(broker.bound.size, 4 * slotCount);
});

Deno.test("Memberships.join() ends when the broker doesn't answer, as onOutage says", async () => {
  for (const onOutage of ["local", "refuse"] as const) {
    const memberships = makeMemberships({ onOutage, joinTimeoutMs: 1 });
    memberships.connected(silentLink, "queue");
    const join = memberships.join("/a");
    if (onOutage === "local") await join;
    else await assert.rejects(join, BridgeUnavailableError);
    assert.equal(memberships.byPath("/a")!.wanted, onOutage === "local");
  }
});

Deno.test("Memberships tell of lost bindings as soon as they are back, and not to newcomers", async () => {
  const missed: string[] = [];
  const { memberships, broker } = start({
    onOutage: "refuse",
    onMissed: ({ path }) => missed.push(path),
  });
  for (const path of ["/a", "/b", "/c"]) await memberships.join(path);
  memberships.disconnected();
  await assert.rejects(memberships.join("/d"), BridgeUnavailableError);
  memberships.leave("/b");
  memberships.loseBindings();
  broker.bound.clear();
  assert.deepEqual(missed, []);
  memberships.connected(broker, "queue");
  await memberships.join("/d");
  await eventually(() => missed.length === 2, "both");
  assert.deepEqual(missed.sort(), ["/a", "/c"]);
  assert.equal(memberships.size, 3);
});

Deno.test("Memberships tell nobody of lost bindings who joined while the broker was away", async () => {
  const memberships = makeMemberships();
  await memberships.join("/a");
  memberships.loseBindings();
  memberships.connected(new FakeBroker(), "queue");
  await memberships.join("/a");
  assert.equal(memberships.byPath("/a")!.missed, false);
});

Deno.test("Memberships doubt a binding whose unbind was under way on a lost connection", async () => {
  const doubtful: string[] = [];
  const { memberships, broker } = start({
    onDoubtful: ({ path, state }) => doubtful.push(`${path} ${state}`),
  });
  for (const path of ["/kept", "/back", "/gone"]) await memberships.join(path);
  memberships.leave("/back");
  memberships.leave("/gone");
  memberships.disconnected();
  await memberships.join("/back");
  await memberships.join("/new");
  // What was under way still reaches the broker.
  await eventually(() => broker.busy.size === 0, "the broker");
  memberships.connected(broker, "queue");
  await eventually(() => memberships.size === 3, "the late leave");
  await memberships.join("/back");
  await memberships.join("/new");
  // Here each operation was answered.
  memberships.leave("/kept");
  await memberships.join("/kept");
  assert.deepEqual(doubtful, ["/back bound"]);
});

Deno.test("Memberships.mayHaveLeftovers() says so from the unbind to the next probe", async () => {
  let latest = 4;
  const { memberships } = start({ latestProbe: () => latest });
  const has = (): boolean =>
    memberships.mayHaveLeftovers(memberships.byPath("/a")!);
  await memberships.join("/a");
  memberships.probed(4);
  assert.ok(!has());
  memberships.leave("/a");
  // It joins again before the unbind is answered.
  assert.ok(has());
  latest = 5;
  await memberships.join("/a");
  // The queue may have got it before the unbind.
  memberships.probed(5);
  assert.ok(has());
  memberships.probed(6);
  assert.ok(!has());
});

Deno.test("Memberships.mayHaveLeftovers() says so after an unbind that a lost connection left unanswered", async () => {
  const { memberships } = start({ latestProbe: () => 1 });
  await memberships.join("/a");
  memberships.leave("/a");
  memberships.disconnected();
  await memberships.join("/a");
  memberships.connected(new FakeBroker(), "queue");
  const membership = memberships.byPath("/a")!;
  // The unbind may take effect until the bind is answered.
  memberships.probed(2);
  assert.ok(memberships.mayHaveLeftovers(membership));
  await eventually(() => membership.state === "bound", "the bind");
  assert.ok(memberships.mayHaveLeftovers(membership));
  memberships.probed(2);
  assert.ok(!memberships.mayHaveLeftovers(membership));
});

Deno.test("Memberships.loseBinding() binds again and tells, unless it was bound again since", async () => {
  const missed: string[] = [];
  const { memberships } = start({ onMissed: ({ path }) => missed.push(path) });
  await memberships.join("/a");
  const [[membership, boundMs]] = [...memberships.boundSince(-Infinity)] as [
    [Membership, number],
  ];
  memberships.loseBinding(membership, boundMs - 1);
  assert.equal(membership.state, "bound");
  memberships.loseBinding(membership, boundMs);
  assert.equal(membership.state, "binding");
  await eventually(() => membership.state === "bound", "the bind");
  assert.deepEqual(missed, ["/a"]);
});

// It was: the binding stayed until the node's queue was deleted.
Deno.test("Memberships unbinds a channel that is left before it is bound again", async () => {
  const ways: ((memberships: Memberships, membership: Membership) => void)[] = [
    (memberships, membership) => memberships.bindAgain(membership),
    (memberships, membership) =>
      memberships.loseBinding(membership, membership.boundMs),
  ];
  for (const doubt of ways) {
    const { memberships, broker } = start();
    await memberships.join("/a");
    for (let i = 0; i < slotCount; i++) void memberships.join(`/busy/${i}`);
    doubt(memberships, memberships.byPath("/a")!);
    memberships.leave("/a");
    await eventually(() => memberships.size === slotCount, "the unbind");
    assert.ok(!broker.bound.has(channelKey("/a")));
  }
});

Deno.test("Memberships ignores what a former link answers", async () => {
  const memberships = makeMemberships();
  const late = Promise.withResolvers<void>();
  memberships.connected(
    { bind: () => late.promise, unbind: () => Promise.reject() },
    "queue",
  );
  const join = memberships.join("/a");
  memberships.disconnected();
  await join;
  const membership = memberships.byPath("/a")!;
  memberships.connected(silentLink, "queue");
  late.resolve();
  await late.promise;
  await Promise.resolve();
  assert.equal(membership.state, "binding");
});
