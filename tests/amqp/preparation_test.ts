import assert from "node:assert/strict";
import type { Link } from "../../src/amqp/link.ts";
import { NodeQueue } from "../../src/amqp/node_queue.ts";
import {
  Preparation,
  type PreparationOptions,
} from "../../src/amqp/preparation.ts";

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
