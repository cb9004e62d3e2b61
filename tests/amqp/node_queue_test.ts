import assert from "node:assert/strict";
import { BrokerError } from "../../src/amqp/broker_error.ts";
import type { Binding, Link } from "../../src/amqp/link.ts";
import { NodeQueue } from "../../src/amqp/node_queue.ts";

/** A broker with queues; what it was asked is remembered. */
class FakeLink {
  readonly done: string[] = [];
  isThere: boolean | BrokerError = true;

  declareQueue(name: string): Promise<void> {
    return this.#do(`declare ${name}`);
  }

  deleteQueue(name: string): Promise<void> {
    return this.#do(`delete ${name}`);
  }

  bind(_slot: number, { key }: Binding): Promise<void> {
    return this.#do(`bind ${key}`);
  }

  hasQueue(): Promise<boolean> {
    return this.isThere instanceof BrokerError
      ? Promise.reject(this.isThere)
      : Promise.resolve(this.isThere);
  }

  #do(what: string): Promise<void> {
    this.done.push(what);
    return Promise.resolve();
  }
}

/** Prepares `queue`, and gets what was done, `lost` included. */
async function prepare(
  queue: NodeQueue,
  { isThere = true, isBound = true }: {
    isThere?: boolean | BrokerError;
    isBound?: boolean;
  } = {},
): Promise<string[]> {
  const link = new FakeLink();
  link.isThere = isThere;
  await queue.prepare(link as unknown as Link, {
    isBound: () => Promise.resolve(isBound),
    onLost: () => link.done.push("lost"),
  });
  return link.done;
}

const fresh = ["declare staps.node.x", "bind node.x", "bind all"];

Deno.test("NodeQueue.prepare() makes the queue once, and again when it is lost", async () => {
  const queue = new NodeQueue("x", { queueBytes: 1e6, queueExpiresS: 60 });
  assert.equal(queue.exists, false);
  assert.deepEqual(await prepare(queue), fresh);
  assert.equal(queue.exists, true);
  assert.deepEqual(await prepare(queue), []);
  assert.deepEqual(await prepare(queue, { isThere: false }), [
    "lost",
    ...fresh,
  ]);
  assert.deepEqual(await prepare(queue, { isBound: false }), [
    "lost",
    "bind node.x",
    "bind all",
  ]);
});

Deno.test("NodeQueue.prepare() deletes a queue with something that can't be read", async () => {
  const queue = new NodeQueue("x", { queueBytes: 1e6, queueExpiresS: 60 });
  queue.giveUp();
  assert.deepEqual(await prepare(queue), fresh);
  queue.giveUp();
  assert.deepEqual(await prepare(queue, { isThere: false }), [
    "delete staps.node.x",
    "lost",
    ...fresh,
  ]);
});

Deno.test("NodeQueue.prepare() takes another name when the queue's broker stays away", async () => {
  const away = new BrokerError("home node is down", { code: 404 });
  const patient = new NodeQueue("x", { queueBytes: 1e6, queueExpiresS: 60 });
  await prepare(patient);
  await assert.rejects(prepare(patient, { isThere: away }), /home node/);
  const hasty = new NodeQueue("x", { queueBytes: 1e6, queueExpiresS: 0 });
  await prepare(hasty);
  const [lost, declared] = await prepare(hasty, { isThere: away });
  assert.equal(lost, "lost");
  assert.match(declared!, /^declare staps\.node\.x\.[0-9a-f]{8}$/);
});
