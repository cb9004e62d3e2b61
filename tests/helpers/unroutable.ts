/** What administrators have against lost messages. */
import type { Broker } from "../../tools/broker.ts";

/** Makes an exchange that takes what a vhost's nodes publish and has nowhere to go, and the policy for it. */
export async function keepUnroutable(
  broker: Broker,
  vhost: string,
): Promise<void> {
  const resource = (kind: "exchange" | "queue"): string =>
    `rabbit_misc:r(<<"${vhost}">>, ${kind}, <<"unrouted">>)`;
  // A policy makes no exchange, and one without a queue takes nothing.
  await broker.eval(
    `Exchange = ${resource("exchange")}, Queue = ${resource("queue")}, ` +
      `rabbit_exchange:declare(Exchange, fanout, true, false, false, [], <<"test">>), ` +
      `rabbit_amqqueue:declare(Queue, true, false, [], none, <<"test">>), ` +
      `rabbit_binding:add({binding, Exchange, <<>>, Queue, []}, <<"test">>), ok`,
  );
  await broker.rabbitmqctl(
    ...["set_policy", "-p", vhost, "unrouted", "^staps$"],
    `{"alternate-exchange":"unrouted"}`,
    ...["--apply-to", "exchanges"],
  );
}
