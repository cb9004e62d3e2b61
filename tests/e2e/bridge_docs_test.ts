/** The commands of docs/bridge.md, on a real broker. */
import assert from "node:assert/strict";
import { AmqpBridge } from "../../src/amqp/bridge.ts";
import { loadConfig } from "../../src/settings/config.ts";
import { publish, RecordingListener } from "../relay/bridge_contract.ts";
import { startBroker } from "../helpers/broker.ts";
import { block } from "../helpers/docs.ts";
import { TempFolder } from "../helpers/folder.ts";

/** Gets the words of each command of a block, read as a shell does. */
async function commands(name: string): Promise<string[][]> {
  const code = await block("docs/bridge.md", name);
  return code.trim().split("\n").map((line) =>
    [...line.matchAll(/'([^']*)'|(\S+)/g)]
      .map(([, quoted, plain]) => quoted ?? plain!)
  );
}

Deno.test("docs/bridge.md: the rights are enough, and the policy is accepted", async () => {
  await using broker = await startBroker();
  for (const name of ["rights", "policy"]) {
    for (const [program, ...args] of await commands(name)) {
      assert.equal(program, "rabbitmqctl");
      // The tests' broker has a user of that name already.
      if (args[0] === "add_user") args[0] = "change_password";
      await broker.rabbitmqctl(...args);
    }
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
});
