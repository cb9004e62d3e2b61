/** `staps check` on a real broker with policies that an administrator has set: it names what breaks a promise. */
import assert from "node:assert/strict";
import { connect } from "../../src/amqp/connect.ts";
import { checkBroker } from "../../src/commands/check/broker.ts";
import type { Finding } from "../../src/commands/check/finding.ts";
import { loadConfig } from "../../src/settings/config.ts";
import { type Broker, startBroker } from "../../tools/broker.ts";
import { TempFolder } from "../../tools/folder.ts";

/** The pattern of the nodes' queues, as an administrator would write it. */
const nodeQueues = "^staps\\.node\\.[0-9a-f]+$";

/** A policy, and what is said of it. */
interface Case {
  readonly name: string;
  readonly definition: Readonly<Record<string, unknown>>;
  readonly queueType?: "quorum";
  /** What the policy is for; the nodes' queues if it isn't said. */
  readonly pattern?: string;
  readonly command?: "set_policy" | "set_operator_policy";
  /** The only finding beside that the broker works; it is a failure unless this says that all is well. */
  readonly expected: RegExp;
}

const isWell =
  /^the broker at 127.0.0.1:\d+ keeps what queues of nodes get: \d+ messages, and one for [36] s$/;

const cases: readonly Case[] = [
  {
    name: "harmless limits",
    definition: { "max-length": 1_000_000, "message-ttl": 3_600_000 },
    expected: isWell,
  },
  {
    name: "harmless limits of quorum queues",
    definition: { "max-length": 1_000_000, "expires": 3_600_000 },
    queueType: "quorum",
    expected: isWell,
  },
  {
    name: "an alternate exchange",
    definition: { "alternate-exchange": "elsewhere" },
    pattern: "^staps$",
    expected:
      /^The broker at .* keeps a message to the exchange "staps" that has nowhere to go, expected it back: likely a policy sets alternate-exchange/,
  },
  {
    name: "max-length",
    definition: { "max-length": 100 },
    expected:
      /rejects messages to queues of nodes: 100 of \d+ messages of 400 bytes were taken, expected all: likely a policy sets max-length/,
  },
  {
    name: "max-length of quorum queues",
    definition: { "max-length": 100 },
    queueType: "quorum",
    expected: /rejects messages .* likely a policy sets max-length/,
  },
  {
    name: "max-length-bytes, by an operator policy",
    definition: { "max-length-bytes": 100_000 },
    command: "set_operator_policy",
    expected:
      /rejects messages to queues of nodes: 250 of .* likely a policy sets max-length or max-length-bytes/,
  },
  {
    // A classic queue's own overflow counts, which is reject-publish.
    name: "max-length with drop-head",
    definition: { "max-length": 100, overflow: "drop-head" },
    expected: /rejects messages to queues of nodes: 100 of/,
  },
  {
    // Here the policy's counts.
    name: "max-length of quorum queues with drop-head",
    definition: { "max-length": 100, overflow: "drop-head" },
    queueType: "quorum",
    expected:
      /drops messages from queues of nodes: 100 of \d+ messages of 400 bytes were left, the newest, expected all: .* drop-head; clients miss messages/,
  },
  {
    name: "message-ttl",
    definition: { "message-ttl": 2_000 },
    expected:
      /drops messages that wait in queues of nodes: one was gone after 3 s, expected it there: likely a policy sets message-ttl/,
  },
  {
    name: "message-ttl of quorum queues",
    definition: { "message-ttl": 2_000 },
    queueType: "quorum",
    expected: /drops messages that wait .* likely a policy sets message-ttl/,
  },
  {
    name: "expires",
    definition: { expires: 2_000 },
    expected:
      /deletes queues of nodes: one was gone after 3 s without its node, expected it there for "queue_expires_s": likely a policy sets expires/,
  },
  {
    name: "expires of quorum queues",
    definition: { expires: 3_000 },
    queueType: "quorum",
    expected:
      /deletes queues of nodes: one was gone after 6 s .* likely a policy sets expires/,
  },
];

Deno.test("staps check finds policies that break promises", async (t) => {
  await using broker = await startBroker();
  const { classic, quorum } = Object.groupBy(
    cases,
    ({ queueType }) => queueType ?? "classic",
  );
  // Most of it is waiting.
  await Promise.all([classic!, quorum!].map(async (some) => {
    for (const one of some) {
      await t.step({
        name: one.name,
        fn: () => testCase(broker, one),
        // Deno wants this of steps side by side.
        ...{ sanitizeOps: false, sanitizeResources: false },
        sanitizeExit: false,
      });
    }
  }));
  const left = await broker.eval("rabbit_amqqueue:list_names()");
  assert.doesNotMatch(left, /staps\.node/);
});

async function testCase(
  broker: Broker,
  { definition, queueType, expected, ...policy }: Case,
): Promise<void> {
  const vhost = await broker.addVhost();
  await broker.addUser(`node-${vhost}`, {
    password: "secret",
    vhost,
    // Those of docs/bridge.md: a node may see no policy.
    permissions: {
      configure: "^staps($|\\.node\\.)",
      write: "^staps($|\\.node\\.)",
      read: "^staps($|\\.node\\.)",
    },
  });
  if ("alternate-exchange" in definition) await makeElsewhere(broker, vhost);
  const { pattern = nodeQueues, command = "set_policy" } = policy;
  await broker.rabbitmqctl(
    ...[command, "--vhost", vhost, "--apply-to"],
    ...[pattern === nodeQueues ? "queues" : "exchanges"],
    ...["test", pattern, JSON.stringify(definition)],
  );
  const url = broker.url(vhost, { user: `node-${vhost}:secret` });
  const [working, ...others] = await check(
    `[staps]\namqp = ${url}\n[bridge]\nqueue_type = ${queueType ?? "auto"}\n`,
  );
  assert.match(working!.message, /takes messages and returns them/);
  assert.deepEqual(
    others.map(({ level }) => level),
    [expected === isWell ? "ok" : "fail"],
    JSON.stringify(others),
  );
  assert.match(others[0]!.message, expected);
}

/** Makes an exchange that keeps what it gets. */
async function makeElsewhere(broker: Broker, vhost: string): Promise<void> {
  const { sending, receiving, control } = await connect({
    ...{ tls: false, hostname: "127.0.0.1", port: broker.port, vhost },
    ...{ user: "staps", password: "secret", pem: {} },
  }, { heartbeatS: 5, binderCount: 0 });
  await control.assertExchange("elsewhere", "fanout");
  await control.assertQueue("elsewhere");
  await control.bindQueue("elsewhere", "elsewhere", "");
  await sending.close();
  await receiving.close();
}

/** Gets what is found with this configuration. */
async function check(text: string): Promise<Finding[]> {
  await using folder = await TempFolder.make();
  const file = `${folder.path}/staps.conf`;
  await Deno.writeTextFile(file, text);
  const { config } = loadConfig({ configFile: file, environment: {} });
  return await checkBroker(config);
}
