import assert from "node:assert/strict";
import { BrokerError } from "../../src/amqp/broker_error.ts";
import type { Binding, Link } from "../../src/amqp/link.ts";
import { NodeQueue, type NodeQueueOptions } from "../../src/amqp/node_queue.ts";
import type { QueueState } from "../../src/amqp/queue_search.ts";

/** What a broker answers. */
interface Answers {
  readonly isBound?: boolean;
  readonly state?: QueueState;
  /** What fails, such as `consume`, and how. */
  readonly failing?: { readonly what: string; readonly error: BrokerError };
  /** A queue that can be deleted, as it is there again. */
  readonly back?: string;
}

function make(options: Partial<NodeQueueOptions> = {}): NodeQueue {
  return new NodeQueue("x", {
    queueBytes: 1e6,
    queueExpiresS: 60,
    queueType: "classic",
    hosts: ["a"],
    ...options,
  });
}

/** Prepares `queue`, and gets what was done, `lost` and what failed included. */
async function prepare(
  queue: NodeQueue,
  { isBound = true, state = "there", failing, back }: Answers = {},
  onDeclared: (args: Record<string, unknown>) => void = () => {},
): Promise<string[]> {
  const done: string[] = [];
  const act = (what: string): Promise<void> => {
    done.push(what);
    return what.startsWith(`${failing?.what} `)
      ? Promise.reject(failing!.error)
      : Promise.resolve();
  };
  const link = {
    declareQueue: (name: string, args: Record<string, unknown>) => {
      onDeclared(args);
      return act(`declare ${name}`);
    },
    deleteQueue: (name: string) => act(`delete ${name}`),
    bind: (_slot: number, { key }: Binding) => act(`bind ${key}`),
    consume: (name: string) => act(`consume ${name}`),
    findQueue: () => Promise.resolve(state),
    unbindAway: (queue: string, keys: Iterable<string>) =>
      act(`unbind ${queue} ${[...keys]}`),
    deleteIfThere: async (name: string) => {
      await act(`delete later ${name}`);
      return back === name;
    },
  };
  try {
    await queue.prepare(link as Partial<Link> as Link, {
      isBound: () => Promise.resolve(isBound),
      channelKeys: () => ["k1", "k2"],
      onLost: () => done.push("lost"),
    });
  } catch (error) {
    done.push((error as Error).message);
  }
  return done;
}

const name = "staps.node.x";
const consume = `consume ${name}`;
const fresh = [`declare ${name}`, "bind node.x", "bind all", consume];

Deno.test("NodeQueue.prepare() makes the queue once, and again when it is lost", async () => {
  const queue = make();
  assert.equal(queue.exists, false);
  assert.deepEqual(await prepare(queue), fresh);
  assert.equal(queue.exists, true);
  assert.deepEqual(await prepare(queue), [consume]);
  assert.deepEqual(await prepare(queue, { state: "gone" }), ["lost", ...fresh]);
  assert.deepEqual(await prepare(queue, { isBound: false }), [
    "lost",
    "bind node.x",
    "bind all",
    consume,
  ]);
});

Deno.test("NodeQueue.prepare() deletes a queue with something that can't be read", async () => {
  const queue = make();
  queue.giveUp();
  assert.deepEqual(await prepare(queue), fresh);
  queue.giveUp();
  const again = [`delete ${name}`, "lost", ...fresh];
  assert.deepEqual(await prepare(queue), again);
  assert.deepEqual(await prepare(queue), [consume]);
});

// It waited for 60 s on RabbitMQ 3.10, and for ever on 4.0.
Deno.test("NodeQueue.prepare() replaces a classic queue that is away at once", async () => {
  const queue = make();
  await prepare(queue);
  const done = await prepare(queue, { state: "away" });
  assert.match(queue.name, /^staps\.node\.x\.[0-9a-f]{8}$/);
  assert.deepEqual(done, [
    "lost",
    `unbind ${name} node.x,all`,
    `unbind ${name} k1,k2`,
    `declare ${queue.name}`,
    "bind node.x",
    "bind all",
    `consume ${queue.name}`,
    `delete later ${name}`,
  ]);
  // The old one is deleted as soon as it is back.
  const later = [`consume ${queue.name}`, `delete later ${name}`];
  assert.deepEqual(await prepare(queue), later);
  assert.deepEqual(await prepare(queue, { back: name }), later);
  assert.deepEqual(await prepare(queue), later.slice(0, 1));
});

Deno.test("NodeQueue.prepare() tells of a loss once, even if what follows fails", async () => {
  const queue = make();
  await prepare(queue);
  const error = new BrokerError("connection lost");
  const failing = { what: "declare", error };
  const done = await prepare(queue, { state: "away", failing });
  assert.equal(done[0], "lost");
  assert.equal(done.at(-1), "connection lost");
  assert.ok(!(await prepare(queue)).includes("lost"));
});

// RabbitMQ 4.0 said "process is stopped by supervisor" of the same name again and again.
Deno.test("NodeQueue.prepare() takes another name when the broker can't make the queue", async () => {
  const queue = make();
  const stopped = new BrokerError("stopped by supervisor", { code: 404 });
  await prepare(queue, { failing: { what: "declare", error: stopped } });
  assert.notEqual(queue.name, name);
  for (const code of [403, 406]) {
    const refused = make();
    const error = new BrokerError("refused", { code });
    await prepare(refused, { failing: { what: "declare", error } });
    assert.equal(refused.name, name);
  }
});

Deno.test("NodeQueue.prepare() replaces a queue that can't be consumed twice in a row", async () => {
  const queue = make();
  await prepare(queue);
  const error = new BrokerError("timeout", { late: true });
  const failing = { what: "consume", error };
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(await prepare(queue, { failing }), [consume, "timeout"]);
  }
  assert.equal((await prepare(queue))[0], "lost");
  // A lost connection says nothing of the queue.
  const kept = make();
  await prepare(kept);
  const cut = { what: "consume", error: new BrokerError("cut") };
  for (let i = 0; i < 3; i++) await prepare(kept, { failing: cut });
  assert.deepEqual(await prepare(kept), [consume]);
});

Deno.test("NodeQueue.prepare() waits for a quorum queue without a majority", async () => {
  const queue = make({ queueType: "quorum" });
  await prepare(queue);
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(await prepare(queue, { state: "away" }), [
      "most brokers of this node's queue are away",
    ]);
  }
  assert.deepEqual(await prepare(queue), [consume]);
});

Deno.test("NodeQueue takes a quorum queue where three brokers are named, if it is to choose", async () => {
  const cases = [
    ["classic", 3, "classic"],
    ["quorum", 1, "quorum"],
    ["auto", 3, "quorum"],
    // Whatever the virtual host's default is.
    ["auto", 2, undefined],
  ] as const;
  for (const [queueType, count, expected] of cases) {
    const hosts = Array.from({ length: count }, (_, i) => `host${i}`);
    const queue = make({ queueType, hosts });
    let args: Record<string, unknown> = {};
    await prepare(queue, {}, (declared) => args = declared);
    assert.equal(args["x-queue-type"], expected);
    assert.equal("x-delivery-limit" in args, expected === "quorum");
    assert.equal(queue.isQuorum, expected === "quorum");
  }
});
