import assert from "node:assert/strict";
import { type Access, BrokerError } from "../../src/amqp/broker_error.ts";
import { explainRefusal } from "../../src/amqp/refusal.ts";
import { brokerUrl } from "../../tools/bridge_options.ts";

const url = brokerUrl("amqp://staps:s3cret@[::1]/v");
const exchange: Access = { right: "write", kind: "exchange", name: "staps" };
const queue: Access = { right: "write", kind: "queue", name: "staps.node.1" };

/** The broker refuses the opening of a connection with `words`, which begin with their code. */
function refused(words: string): BrokerError {
  const code = Number.parseInt(words);
  return new BrokerError(words, { code, opening: { voice: "AMQP" } });
}

/** It refuses an operation: an error as amqplib has it. */
function answer(words: string, access: Access): BrokerError {
  const [code, text] = [Number.parseInt(words), words.slice(4)];
  const message =
    `Operation failed: QueueDeclare; ${code} (X) with message "${text}"`;
  return new BrokerError(message, { code, access });
}

Deno.test("explainRefusal() says what a refused opening lacks, with the broker's words, and no password", () => {
  const cases: Record<string, RegExp> = {
    "403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.":
      /at \[::1\]:5672 as "staps": it refuses user or password \(403 ACCESS_REFUSED - Login was refused .*PLAIN\.\)$/,
    "530 NOT_ALLOWED - vhost v not found":
      /the virtual host "v" on .*: it doesn't exist \(530 NOT_ALLOWED - vhost v not found\)$/,
    "530 NOT_ALLOWED - access to vhost 'v' refused for user 'staps'":
      /the virtual host "v" on .*: "staps" has no rights in it \(530 NOT_/,
  };
  for (const [words, expected] of Object.entries(cases)) {
    const { message, hint } = explainRefusal(refused(words), url)!;
    assert.match(message, expected);
    assert.doesNotMatch(`${message} ${hint}`, /s3cret/);
  }
});

Deno.test("explainRefusal() names the missing right", () => {
  const write =
    "403 ACCESS_REFUSED - access to exchange 'staps' in vhost 'v' refused for user 'staps'";
  const configure =
    "403 ACCESS_REFUSED - configure access to queue 'staps.node.1' in vhost 'v' refused for user 'staps'";
  const cases: [BrokerError, RegExp][] = [
    [
      answer(write, exchange),
      /lacks the right "write" on the exchange "staps" in the virtual host "v" \(403 ACCESS_REFUSED - /,
    ],
    // Binding a queue needs the right to read the exchange, too.
    [answer(write, queue), /lacks the right "read" on the exchange "staps"/],
    [
      answer(configure, queue),
      /lacks the right "configure" on the queue "staps.node.1"/,
    ],
  ];
  for (const [error, expected] of cases) {
    assert.match(explainRefusal(error, url)!.message, expected);
  }
});

Deno.test("explainRefusal() leaves to the next try what may heal", () => {
  const vhost = "access to vhost 'v' refused for user 'staps'";
  const errors = [
    new BrokerError("connect ECONNREFUSED", { opening: { voice: "nothing" } }),
    new BrokerError("NOT_FOUND", { code: 404, access: queue }),
    new BrokerError("closed"),
    // These were taken for a virtual host that doesn't exist.
    refused(`530 NOT_ALLOWED - ${vhost}: connection limit (1) is reached`),
    refused(`541 INTERNAL_ERROR - ${vhost}: vhost 'v' is down`),
    refused(
      "530 NOT_ALLOWED - connection refused for user 'staps': user connection limit (1) is reached",
    ),
    // And these for a queue with other arguments, or a missing right.
    answer(
      "406 PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost 'v' (1) is reached",
      queue,
    ),
    answer(
      "403 ACCESS_REFUSED - queue 'staps.node.1' in vhost 'v' in exclusive use",
      queue,
    ),
  ];
  for (const error of errors) {
    assert.equal(explainRefusal(error, url), undefined, error.message);
  }
});
