import assert from "node:assert/strict";
import { type Access, BrokerError } from "../../src/amqp/broker_error.ts";
import { explainRefusal } from "../../src/amqp/refusal.ts";
import { brokerUrl } from "../helpers/broker_url.ts";

const url = brokerUrl("amqp://staps:s3cret@[::1]/v");
const exchange: Access = { right: "write", kind: "exchange", name: "staps" };
const queue: Access = { right: "write", kind: "queue", name: "staps.node.1" };

Deno.test("explainRefusal() says what a refused login lacks, and no password", () => {
  const cases: [string, RegExp][] = [
    [
      "Handshake terminated by server: 403 (ACCESS_REFUSED)",
      /at \[::1\]:5672 as "staps": it refuses user or password/,
    ],
    [
      "Expected ConnectionOpenOk; got <ConnectionClose channel:0>",
      /the virtual host "v" on .*"staps" has no rights/,
    ],
    [
      "invalid peer certificate: UnknownIssuer",
      /^Cannot trust .*UnknownIssuer/,
    ],
  ];
  for (const [message, expected] of cases) {
    const error = new BrokerError(message, { opening: true });
    const { message: text, hint } = explainRefusal(error, url)!;
    assert.match(text, expected);
    assert.doesNotMatch(`${text} ${hint}`, /s3cret/);
  }
});

Deno.test("explainRefusal() names the missing right", () => {
  const error = (message: string, access: Access): BrokerError =>
    new BrokerError(message, { code: 403, access });
  assert.match(
    explainRefusal(error("refused", exchange), url)!.message,
    /lacks the right "write" on the exchange "staps" in the virtual host "v"/,
  );
  // Binding a queue needs the right to read the exchange, too.
  assert.match(
    explainRefusal(
      error("access to exchange 'staps' in vhost 'v' refused", queue),
      url,
    )!.message,
    /lacks the right "read" on the exchange "staps"/,
  );
});

Deno.test("explainRefusal() leaves to the next try what may heal", () => {
  for (
    const error of [
      new BrokerError("connect ECONNREFUSED", { opening: true }),
      new BrokerError("NOT_FOUND", { code: 404, access: queue }),
      new BrokerError("closed"),
    ]
  ) assert.equal(explainRefusal(error, url), undefined);
});
