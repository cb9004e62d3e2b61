/** `staps check` on a real broker with policies that an administrator has set: it names what breaks a promise. */
import assert from "node:assert/strict";
import { checkBroker } from "../../src/commands/check/broker.ts";
import { type Broker, startBroker } from "../../tools/broker.ts";
import { loadText } from "../helpers/config.ts";
import { stepsTogether } from "../helpers/steps.ts";
import { keepUnroutable } from "../helpers/unroutable.ts";

/** A policy for the nodes' queues, or what sets another one up, and the only finding beside that the broker works. */
type Case = readonly [
  name: string,
  policy:
    | Readonly<Record<string, unknown>>
    | ((broker: Broker, vhost: string) => Promise<void>),
  expected: RegExp,
];

/** The pattern of the nodes' queues, as an administrator would write it. */
const nodeQueues = "^staps\\.node\\.[0-9a-f]+$";

/** The only finding that isn't a failure. */
const isWell =
  /^the broker at 127.0.0.1:\d+ keeps what queues of nodes get: \d+ messages, and one for [36] s$/;

const classic: readonly Case[] = [
  [
    "harmless limits",
    { "max-length": 1_000_000, "message-ttl": 3_600_000 },
    isWell,
  ],
  [
    "an alternate exchange",
    keepUnroutable,
    /^The broker at .* keeps a message to the exchange "staps" that has nowhere to go, expected it back: likely a policy sets alternate-exchange/,
  ],
  [
    "max-length",
    { "max-length": 100 },
    /rejects messages to queues of nodes: 100 of \d+ messages of 400 bytes were taken, expected all: likely a policy sets max-length/,
  ],
  [
    "max-length-bytes, by an operator policy",
    (broker, vhost) =>
      setPolicy(broker, vhost, { "max-length-bytes": 100_000 }, "operator_"),
    /rejects messages to queues of nodes: 250 of .* likely a policy sets max-length or max-length-bytes/,
  ],
  [
    // A classic queue's own overflow counts, which is reject-publish.
    "max-length with drop-head",
    { "max-length": 100, overflow: "drop-head" },
    /rejects messages to queues of nodes: 100 of/,
  ],
  [
    "message-ttl",
    { "message-ttl": 2_000 },
    /drops messages that wait in queues of nodes: one was gone after 3 s, expected it there: likely a policy sets message-ttl/,
  ],
  [
    "expires",
    { expires: 2_000 },
    /deletes queues of nodes: one was gone after 3 s without its node, expected it there for "queue_expires_s": likely a policy sets expires/,
  ],
];

const quorum: readonly Case[] = [
  ["harmless limits", { "max-length": 1_000_000, expires: 3_600_000 }, isWell],
  [
    "max-length",
    { "max-length": 100 },
    /rejects messages .* likely a policy sets max-length/,
  ],
  [
    // Here the policy's counts.
    "max-length with drop-head",
    { "max-length": 100, overflow: "drop-head" },
    /drops messages from queues of nodes: 100 of \d+ messages of 400 bytes were left, the newest, expected all: .* drop-head; clients miss messages/,
  ],
  [
    "message-ttl",
    { "message-ttl": 2_000 },
    /drops messages that wait .* likely a policy sets message-ttl/,
  ],
  [
    "expires",
    { expires: 3_000 },
    /deletes queues of nodes: one was gone after 6 s .* likely a policy sets expires/,
  ],
];

Deno.test("staps check finds policies that break promises", async (t) => {
  await using broker = await startBroker();
  // Most of it is waiting.
  await stepsTogether(t, {
    "classic queues": () => testCases(broker, "auto", classic),
    "quorum queues": () => testCases(broker, "quorum", quorum),
  });
  const left = await broker.eval("rabbit_amqqueue:list_names()");
  assert.doesNotMatch(left, /staps\.node/);
});

async function testCases(
  broker: Broker,
  queueType: string,
  cases: readonly Case[],
): Promise<void> {
  for (const [name, policy, expected] of cases) {
    const vhost = await broker.addVhost();
    // Those of docs/bridge.md: a node may see no policy.
    const names = "^staps($|\\.node\\.)";
    await broker.addUser(`node-${vhost}`, {
      ...{ password: "secret", vhost },
      permissions: { configure: names, write: names, read: names },
    });
    if (typeof policy === "function") await policy(broker, vhost);
    else await setPolicy(broker, vhost, policy);
    const url = broker.url(vhost, { user: `node-${vhost}:secret` });
    const { config } = loadText(
      `[staps]\namqp = ${url}\n[bridge]\nqueue_type = ${queueType}\n`,
      { environment: {} },
    );
    const [working, ...others] = await checkBroker(config);
    assert.match(working!.message, /takes messages and returns them/, name);
    const level = expected === isWell ? "ok" : "fail";
    assert.deepEqual(others.map(({ level }) => level), [level], name);
    assert.match(others[0]!.message, expected, name);
  }
}

/** Sets a policy for the queues of a vhost's nodes. */
async function setPolicy(
  broker: Broker,
  vhost: string,
  definition: Readonly<Record<string, unknown>>,
  whose: "" | "operator_" = "",
): Promise<void> {
  await broker.rabbitmqctl(
    ...[`set_${whose}policy`, "--vhost", vhost, "--apply-to", "queues"],
    ...["test", nodeQueues, JSON.stringify(definition)],
  );
}
