import assert from "node:assert/strict";
import { BrokerError } from "../../src/amqp/broker_error.ts";
import { describeTrouble } from "../../src/amqp/trouble.ts";
import { brokerUrl } from "../../tools/bridge_options.ts";

const endpoint = { ...brokerUrl("amqp://staps:s3cret@[::1]/v"), pem: {} };

Deno.test("describeTrouble() has the broker's words in every case, and nothing but them where it can't tell", () => {
  const unknown = new BrokerError(
    "Connection closed: 320 (CONNECTION-FORCED) with message \"CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'\"",
    { code: 320 },
  );
  assert.equal(
    describeTrouble(unknown, endpoint),
    "320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
  );
  assert.equal(
    describeTrouble(new BrokerError("connect ECONNREFUSED ::1:5672"), endpoint),
    "connect ECONNREFUSED ::1:5672",
  );
  // RabbitMQ 4 has limits of a node and of a cluster, too.
  const cases: Record<string, RegExp> = {
    "530 NOT_ALLOWED - connection refused: node connection limit (0) is reached":
      /^the broker may have no more connections: /,
    "530 NOT_ALLOWED - number of channels opened on node 'r@h' has reached the maximum allowed limit of (1)":
      /^the broker may have no more channels: /,
    "406 PRECONDITION_FAILED - cannot declare queue 'q': queue limit in cluster (1) is reached":
      /^the broker may have no more queues: /,
  };
  for (const [words, expected] of Object.entries(cases)) {
    const code = Number.parseInt(words);
    const message = `X failed; ${code} (X) with message "${words.slice(4)}"`;
    const text = describeTrouble(new BrokerError(message, { code }), endpoint);
    assert.match(text, expected);
    assert.ok(text.endsWith(` (${words})`), text);
  }
});

Deno.test("describeTrouble() says one line, of a length that is bounded, whatever the broker says", () => {
  const message = `530 NOT_ALLOWED - ${"\n\u001b[2J".repeat(1000)}`;
  const text = describeTrouble(
    new BrokerError(message, { code: 530, opening: { voice: "AMQP" } }),
    endpoint,
  );
  assert.match(text, /^[ -~]*$/);
  assert.ok(text.length < 400);
});

Deno.test("describeTrouble() takes a port for one with TLS only if it showed some", () => {
  const reset = (opening: BrokerError["detail"]["opening"]): string => {
    const cause = Object.assign(new Error(), { code: "ECONNRESET" });
    const error = new BrokerError("read ECONNRESET", { cause, opening });
    return describeTrouble(error, endpoint);
  };
  // A proxy whose broker is down does this too.
  assert.equal(
    reset({ voice: "nothing", doubt: "hung up" }),
    "read ECONNRESET",
  );
  const certificate = { fromMs: 0, untilMs: 0 };
  for (
    const opening of [
      { voice: "nothing", doubt: "hung up", certificate } as const,
      { voice: "TLS" } as const,
    ]
  ) assert.match(reset(opening), /^port 5672 speaks TLS: .*"amqps:\/\/"/);
});
