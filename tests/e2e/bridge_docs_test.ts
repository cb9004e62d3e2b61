/** The commands and the brokers' configuration of docs/bridge.md, on a real broker. */
import assert from "node:assert/strict";
import { AmqpBridge } from "../../src/amqp/bridge.ts";
import { loadConfig } from "../../src/settings/config.ts";
import { publish, RecordingListener } from "../relay/bridge_contract.ts";
import { startBroker } from "../helpers/broker.ts";
import { type BrokerVersion, whyNoBroker } from "../helpers/broker_programs.ts";
import { block } from "../helpers/docs.ts";
import { TempFolder } from "../helpers/folder.ts";
import { testUnless } from "../helpers/skip.ts";

/** Gets the words of each command of a block, read as a shell does. */
async function commands(name: string): Promise<string[][]> {
  const code = await block("docs/bridge.md", name);
  return code.trim().split("\n").map((line) =>
    [...line.matchAll(/'([^']*)'|(\S+)/g)]
      .map(([, quoted, plain]) => quoted ?? plain!)
  );
}

async function testPage(version: BrokerVersion): Promise<void> {
  const page = "docs/bridge.md";
  const advanced = await block(page, "advanced.config");
  await using broker = await startBroker({
    ...{ version, advanced, config: await block(page, "rabbitmq.conf") },
  });
  const [, ticktime] = /net_ticktime, (\d+)/.exec(advanced)!;
  assert.equal(await broker.eval("net_kernel:get_net_ticktime()"), ticktime);
  assert.equal(
    await broker.eval(
      "application:get_env(rabbit, cluster_partition_handling)",
    ),
    "{ok, autoheal}",
  );
  for (const [program, ...args] of await commands("rights")) {
    assert.equal(program, "rabbitmqctl");
    // The tests' broker has a user of that name already.
    if (args[0] === "add_user") args[0] = "change_password";
    await broker.rabbitmqctl(...args);
  }
  await using folder = await TempFolder.make();
  const file = `${folder.path}/staps.conf`;
  const url = broker.url("staps", { user: "staps:PASSWORD" });
  await Deno.writeTextFile(file, `[staps]\namqp = ${url}\n`);
  const { config } = loadConfig({ configFile: file, environment: {} });
  const nodes = [];
  for (let i = 0; i < 2; i++) {
    const bridge = new AmqpBridge({
      amqp: config.staps.amqp!,
      ...config.bridge,
      hosts: [config.staps.amqp!],
    });
    const listener = new RecordingListener();
    await bridge.start(listener);
    await bridge.join("/x");
    nodes.push({ bridge, listener });
  }
  publish(nodes[0]!, "/x", "hello");
  assert.deepEqual(await nodes[1]!.listener.got("/x", 1), ["hello"]);
  for (const { bridge } of nodes) {
    bridge.leave("/x");
    await bridge.close();
  }
  assert.doesNotMatch(
    await broker.rabbitmqctl("list_queues", "--vhost", "staps"),
    /staps\.node/,
  );
}

for (const version of ["3.10", "4.0"] satisfies BrokerVersion[]) {
  testUnless(await whyNoBroker(version), {
    name:
      `docs/bridge.md: rights and configuration do what they say, on RabbitMQ ${version}`,
    fn: () => testPage(version),
  });
}
