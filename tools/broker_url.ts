/** A broker's URL for those who take it apart already. */
import assert from "node:assert/strict";
import type { BrokerUrl } from "../src/amqp/connect.ts";
import { parseAmqpUrl } from "../src/settings/amqp_url.ts";

/** Gets the parts of `text`, which has to be a broker's URL. */
export function brokerUrl(text: string): BrokerUrl {
  const url = parseAmqpUrl(text);
  assert.ok(!("got" in url), text);
  return url;
}
