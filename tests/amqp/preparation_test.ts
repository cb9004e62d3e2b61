import assert from "node:assert/strict";
import type { Link } from "../../src/amqp/link.ts";
import { NodeQueue, type PrepareOptions } from "../../src/amqp/node_queue.ts";
import {
  Preparation,
  type PreparationOptions,
} from "../../src/amqp/preparation.ts";
import type { ProbeMessage } from "../../src/amqp/sender.ts";
import { Clock } from "./fakes.ts";

// A quorum queue's count is 1 while a broker that hangs has its consumer: the
// queue was taken for lost, and everybody was told.
Deno.test("Preparation.isOnlyConsumer() believes the broker's count of classic queues only", async () => {
  for (
    const [queueType, count, hasTurn, expected] of [
      ["classic", 1, false, true],
      ["classic", 2, true, false],
      ["quorum", 1, false, false],
      ["quorum", 1, true, true],
    ] as const
  ) {
    const link = { countConsumers: () => Promise.resolve(count) };
    const queue = new NodeQueue("a", {
      ...{ queueType, queueBytes: 1, queueExpiresS: 1, hosts: [] },
    });
    const preparation = new Preparation({ queue } as PreparationOptions);
    assert.equal(
      await preparation.isOnlyConsumer(link as unknown as Link, hasTurn),
      expected,
    );
  }
});

Deno.test("Preparation.prepare() lets all channels be bound again where the queue was lost", async () => {
  const calls: string[] = [];
  const preparation = new Preparation({
    connector: { connects: 1 },
    queue: {
      isQuorum: false,
      prepare: (_: Link, { onLost }: PrepareOptions) => {
        onLost();
        return Promise.resolve();
      },
    },
    probe: { isSuspect: false },
    memberships: { loseBindings: () => void calls.push("bindings") },
    watch: { reset: () => void calls.push("watch") },
  } as unknown as PreparationOptions);
  const link = { declareExchange: () => Promise.resolve() };
  await preparation.prepare(link as unknown as Link);
  assert.deepEqual(calls.sort(), ["bindings", "watch"]);
});

Deno.test("Preparation.prepare() gives up three connections on which a queue takes nothing, and then takes the next", async () => {
  using clock = new Clock();
  const link = {
    isReady: true,
    down: new Promise(() => {}),
    declareExchange: () => Promise.resolve(),
  };
  const preparation = new Preparation({
    connector: { connects: 1 },
    queue: { isQuorum: true, prepare: () => Promise.resolve() },
    probe: { isSuspect: false },
    sender: {
      publishProbe: (_: Link, { onAnswer }: ProbeMessage) => {
        clock.nowMs += 3_000;
        onAnswer(false);
      },
    },
  } as unknown as PreparationOptions);
  const prepare = () => preparation.prepare(link as unknown as Link);
  for (let time = 0; time < 2; time++) {
    for (let i = 0; i < 3; i++) {
      await assert.rejects(prepare(), /queue takes nothing/);
    }
    await prepare();
  }
});
