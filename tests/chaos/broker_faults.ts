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
export function withQueuePolicy(
  { broker }: Cluster,
  definition: Definition,
  act: () => Promise<void>,
): Promise<void> {
  const names =
    `[rabbit_policy:name(Q) || Q <- rabbit_amqqueue:list(${vhost})]`;
  const policy = { pattern: "^staps[.]node", to: "queues", definition, names };
  return withPolicy(broker, policy, act);
}

/** Does `act` while a policy sends what has nowhere to go to a queue of its own. */
export async function withAlternateExchange(
  { broker }: Cluster,
  act: () => Promise<void>,
): Promise<void> {
  const exchange = `rabbit_misc:r(${vhost}, exchange, <<"${elsewhere}">>)`;
  const queue = `rabbit_misc:r(${vhost}, queue, <<"${elsewhere}">>)`;
  const names =
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
  const definition = { "alternate-exchange": elsewhere };
  const policy = { pattern: "^staps$", to: "exchanges", definition, names };
  try {
    await withPolicy(broker, policy, act);
  } finally {
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

/** Does `act` while a policy holds. `names` gets, in Erlang, the names of the policies of what it is for. */
async function withPolicy(
  broker: Broker,
  { pattern, to, definition, names }: {
    pattern: string;
    to: string;
    definition: Definition;
    names: string;
  },
  act: () => Promise<void>,
): Promise<void> {
  const holds = async (): Promise<boolean> =>
    await broker.eval(`lists:member(${policy}, ${names})`) === "true";
  const json = JSON.stringify(JSON.stringify(definition));
  await broker.eval(
    `ok = rabbit_policy:parse_set(${vhost}, ${policy}, <<"${pattern}">>, ` +
      `<<${json}>>, 0, <<"${to}">>, <<"test">>)`,
  );
  try {
    await eventually(holds, "a policy to hold");
    await act();
  } finally {
    await broker.eval(
      `ok = rabbit_policy:delete(${vhost}, ${policy}, <<"test">>)`,
    );
  }
  await eventually(async () => !await holds(), "a policy to be gone");
}
