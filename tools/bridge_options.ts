/** Settings of a bridge to a test's broker. */
import assert from "node:assert/strict";
import type { AmqpBridgeOptions } from "../src/amqp/bridge.ts";
import type { BrokerUrl } from "../src/amqp/connect.ts";
import { parseAmqpUrl } from "../src/settings/amqp_url.ts";

/** Gets the parts of `text`, which has to be a broker's URL. */
export function brokerUrl(text: string): BrokerUrl {
  const url = parseAmqpUrl(text);
  assert.ok(!("got" in url), text);
  return url;
}

/** Gets the settings of a bridge to the broker at `amqp`, by default with room for 64 MiB and a heartbeat of 2 s. */
export function bridgeOptions(
  amqp: string,
  options: Partial<AmqpBridgeOptions> = {},
): AmqpBridgeOptions {
  const url = brokerUrl(amqp);
  return {
    amqp: url,
    exchange: "staps",
    hosts: [url],
    onOutage: "local",
    onGap: "close",
    outboxBytes: 2 ** 26,
    queueBytes: 2 ** 26,
    queueType: "auto",
    queueExpiresS: 60,
    heartbeatS: 2,
    joinTimeoutS: 5,
    ...options,
  };
}
