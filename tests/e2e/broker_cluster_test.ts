/** The tests' own clusters of RabbitMQ: they do what tests with them count on. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type ChannelModel, connect } from "amqplib";
import type { Broker } from "../../tools/broker.ts";
import { startCluster } from "../../tools/broker_cluster.ts";
import { whyNoBroker } from "../../tools/broker_programs.ts";
import { within } from "../../tools/eventually.ts";
import { testUnless } from "../helpers/skip.ts";

const queue = "kept";
const quorum = { durable: true, arguments: { "x-queue-type": "quorum" } };

/** Does something on a connection of its own to `broker`. */
async function withConnection<T>(
  broker: Broker,
  act: (connection: ChannelModel) => Promise<T>,
): Promise<T> {
  const connection = await connect(broker.url());
  try {
    return await act(connection);
  } finally {
    await connection.close();
  }
}

testUnless(await whyNoBroker("4.0"), {
  name: "startCluster() starts RabbitMQs that stand in for each other",
  async fn(t): Promise<void> {
    await using cluster = await startCluster({ version: "4.0" });
    const [first] = cluster.members as [Broker];

    await t.step("three, of the version that was asked for", async () => {
      assert.equal(cluster.members.length, 3);
      for (const member of cluster.members) {
        assert.match(await member.eval("rabbit_misc:version()"), /^"4\.0\./);
      }
    });

    await t.step("leader() names who has a classic queue", async () => {
      assert.equal(await cluster.leader("nowhere"), undefined);
      for (const member of cluster.members) {
        await withConnection(member, async (connection) => {
          const channel = await connection.createChannel();
          await channel.assertQueue(member.name, { exclusive: true });
          assert.equal(await cluster.leader(member.name), member);
        });
      }
    });

    await t.step(
      "another member leads a quorum queue after a kill, and has what was in it",
      async () => {
        await withConnection(first, async (connection) => {
          const channel = await connection.createConfirmChannel();
          await channel.assertQueue(queue, quorum);
          channel.sendToQueue(queue, Buffer.from("kept"), {
            persistent: true,
          });
          await channel.waitForConfirms();
        });
        const killed = await cluster.newLeader(queue);
        await killed.kill();
        assert.equal(killed.state, "stopped");
        const leader = await cluster.newLeader(queue, { others: [killed] });
        assert.notEqual(leader, killed);
        const [other] = cluster.others(killed, leader) as [Broker];
        await withConnection(other, async (connection) => {
          const channel = await connection.createChannel();
          const message = await channel.get(queue, { noAck: true });
          assert.ok(message);
          assert.equal(message.content.toString(), "kept");
        });
        await killed.start();
        await cluster.whole();
      },
    );

    await t.step("pause() silences a member until continue()", async () => {
      first.pause();
      assert.equal(first.state, "paused");
      assert.notEqual(cluster.running, first);
      const connecting = connect(first.url());
      assert.equal(
        await Promise.race([
          connecting.then(() => "answered"),
          // Another one answers meanwhile.
          withConnection(cluster.running, () => Promise.resolve("silent")),
        ]),
        "silent",
      );
      first.continue();
      assert.equal(first.state, "running");
      await (await within(connecting, "the connection")).close();
    });
  },
});
