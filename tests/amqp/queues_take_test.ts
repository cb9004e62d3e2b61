import assert from "node:assert/strict";
import { BrokerError } from "../../src/amqp/broker_error.ts";
import { queuesTake } from "../../src/amqp/queues_take.ts";
import type { ProbeMessage, Sender } from "../../src/amqp/sender.ts";

/** Answers what is published with `answers` in turn, and then not at all. */
function makeSender(
  answers: boolean[],
): { sender: Pick<Sender, "publishProbe">; sent: ProbeMessage[] } {
  const sent: ProbeMessage[] = [];
  const sender = {
    publishProbe(_link: unknown, message: ProbeMessage): void {
      sent.push(message);
      const answer = answers.shift();
      if (answer !== undefined) message.onAnswer(answer);
    },
  };
  return { sender, sent };
}

const never = new Promise<BrokerError>(() => {});

// The first one after a broker's loss was rejected by RabbitMQ 3.10, and the next one taken.
Deno.test("queuesTake() sends to every node until no queue rejects it", async () => {
  const { sender, sent } = makeSender([false, false, true, true]);
  assert.equal(await queuesTake({ isReady: true, down: never }, sender), true);
  assert.deepEqual(sent.map(({ key }) => key), ["all", "all", "all"]);
});

Deno.test("queuesTake() ends with the link, and waits for no broker that takes nothing", async () => {
  const down = Promise.resolve(new BrokerError("cut"));
  await queuesTake({ isReady: true, down }, makeSender([]).sender);
  const { sender, sent } = makeSender([]);
  await queuesTake({ isReady: false, down: never }, sender);
  assert.deepEqual(sent, []);
});

// It was: RabbitMQ 3.10 rejected everything on that connection for ever, so that one
// node got nothing of another, and nobody noticed.
Deno.test("queuesTake() tells that a queue rejects everything", async () => {
  const { sender, sent } = makeSender(Array(100).fill(false));
  assert.equal(await queuesTake({ isReady: true, down: never }, sender), false);
  assert.ok(sent.length > 10 && sent.length < 40, `got ${sent.length}`);
});

// Without an answer it went on, and the broker ended the connection 20 s later.
Deno.test("queuesTake() tells that a queue doesn't answer", async () => {
  const { sender } = makeSender([]);
  assert.equal(await queuesTake({ isReady: true, down: never }, sender), false);
});
