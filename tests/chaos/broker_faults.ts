/** What the brokers' administrator does, and what happens to brokers, as faults. */
import type { Broker } from "../../tools/broker.ts";
import { eventually, pause } from "../../tools/eventually.ts";
import type { Random } from "../helpers/random.ts";
import type { Cluster } from "./cluster.ts";

/** What a policy says. */
export type Definition = Readonly<Record<string, unknown>>;

/** The vhost of all nodes, in Erlang. */
const vhost = `<<"/">>`;

/** What the run's policies are called, in Erlang. */
const policy = `<<"chaos">>`;

/** Where messages end up that have nowhere to go. */
const elsewhere = "chaos-elsewhere";

/** Gets a policy by which queues take less: who sends is told what they didn't. */
export function limitingPolicy(random: Random): Definition {
  return random.chance(0.5)
    ? { "max-length": random.integer(1, 20) }
    : { "max-length-bytes": random.integer(1_000, 50_000) };
}

/** Gets a policy by which messages vanish from queues that took them. */
export function losingPolicy(random: Random, { kind }: Cluster): Definition {
  // A classic queue's own overflow counts, a quorum queue's doesn't.
  return kind === "quorum" && random.chance(0.5)
    ? { "max-length": random.integer(1, 20), overflow: "drop-head" }
    : { "message-ttl": random.integer(0, 50) };
}

/** Does `act` while a policy holds for the nodes' queues. */
export async function withQueuePolicy(
  { broker }: Cluster,
  definition: Definition,
  act: () => Promise<void>,
): Promise<void> {
  const names =
    `[rabbit_policy:name(Q) || Q <- rabbit_amqqueue:list(${vhost})]`;
  await setPolicy(broker, ["^staps[.]node", "queues", definition]);
  try {
    await eventually(
      () => holds(broker, names),
      "a policy on the nodes' queues",
    );
    await act();
  } finally {
    await clearPolicy(broker);
  }
  await eventually(
    async () => !await holds(broker, names),
    "no policy on the nodes' queues",
  );
}

/** Does `act` while a policy sends what has nowhere to go to a queue of its own. */
export async function withAlternateExchange(
  { broker }: Cluster,
  act: () => Promise<void>,
): Promise<void> {
  const exchange = `rabbit_misc:r(${vhost}, exchange, <<"${elsewhere}">>)`;
  const queue = `rabbit_misc:r(${vhost}, queue, <<"${elsewhere}">>)`;
  const staps =
    `[rabbit_policy:name(X) || {ok, X} <- [rabbit_exchange:lookup(` +
    `rabbit_misc:r(${vhost}, exchange, <<"staps">>))]]`;
  await broker.eval(
    `rabbit_exchange:declare(${exchange}, fanout, true, false, false, [], ` +
      `<<"test">>), ` +
      // Bounded, for it lasts.
      `rabbit_amqqueue:declare(${queue}, true, false, ` +
      `[{<<"x-max-length">>, long, 100}], none, <<"test">>), ` +
      `rabbit_binding:add({binding, ${exchange}, <<>>, ${queue}, []}, ` +
      `<<"test">>)`,
  );
  try {
    const definition = { "alternate-exchange": elsewhere };
    await setPolicy(broker, ["^staps$", "exchanges", definition]);
    await eventually(() => holds(broker, staps), "a policy on the exchange");
    await act();
  } finally {
    await clearPolicy(broker);
    await broker.eval(
      `{ok, Q} = rabbit_amqqueue:lookup(${queue}), ` +
        `rabbit_amqqueue:delete(Q, false, false, <<"test">>), ` +
        `rabbit_exchange:delete(${exchange}, false, <<"test">>), ok`,
    );
  }
}

/** Kills one of the brokers for good, and puts a fresh one in its place. Gets its name in the cluster. */
export async function replaceBroker(
  { brokers, kind }: Cluster,
  lost: Broker,
): Promise<void> {
  await lost.kill();
  await pause(1_000);
  const [other] = brokers.others(lost);
  await other!.rabbitmqctl("forget_cluster_node", lost.name);
  // Of the same name and port, as a machine with a new disk.
  await lost.forget();
  await lost.start();
  await lost.joinCluster(other!);
  await brokers.whole();
  if (kind !== "quorum") return;
  // An administrator's `rabbitmq-queues grow`: the queues have lost a member.
  await other!.eval(
    `rabbit_quorum_queue:grow('${lost.name}', <<".*">>, <<".*">>, all)`,
  );
}

async function setPolicy(
  broker: Broker,
  [pattern, to, definition]: [string, "queues" | "exchanges", Definition],
): Promise<void> {
  const json = JSON.stringify(JSON.stringify(definition));
  await broker.eval(
    `ok = rabbit_policy:parse_set(${vhost}, ${policy}, <<"${pattern}">>, ` +
      `<<${json}>>, 0, <<"${to}">>, <<"test">>)`,
  );
}

async function clearPolicy(broker: Broker): Promise<void> {
  await broker.eval(
    `ok = rabbit_policy:delete(${vhost}, ${policy}, <<"test">>)`,
  );
}

/** Whether one of the names that an Erlang expression gets is the policy's. */
async function holds(broker: Broker, names: string): Promise<boolean> {
  return await broker.eval(`lists:member(${policy}, ${names})`) === "true";
}
