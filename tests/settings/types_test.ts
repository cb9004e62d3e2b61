import assert from "node:assert/strict";
import { amqpUrl, hostPorts } from "../../src/settings/types.ts";
import { brokerUrl } from "../helpers/broker_url.ts";

Deno.test("amqpUrl.show() hides the password", () => {
  assert.equal(
    amqpUrl.show(brokerUrl("amqps://st%40ps:hunter2@[::1]/v")),
    "amqps://st%40ps:***@[::1]:5671/v",
  );
});

Deno.test("hostPorts.show() writes what read() reads", () => {
  const text = "rabbit1, rabbit2:1234, [2001:db8::1]:5672, [::1]";
  const hosts = hostPorts.read(text, { home: undefined });
  assert.equal(
    hostPorts.show(hosts as Parameters<typeof hostPorts.show>[0]),
    text,
  );
});
