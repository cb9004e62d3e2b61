import assert from "node:assert/strict";
import { type Access, BrokerError } from "../../src/amqp/broker_error.ts";
import { explainRefusal } from "../../src/amqp/refusal.ts";
import { brokerUrl } from "../../tools/bridge_options.ts";

const url = brokerUrl("amqp://staps:s3cret@[::1]/v");
const exchange: Access = { right: "write", kind: "exchange", name: "staps" };
const queue: Access = { right: "write", kind: "queue", name: "staps.node.1" };

const opening = { voice: "AMQP" } as const;

/** An error as amqplib has it. */
function answer(code: number, words: string, access: Access): BrokerError {
  const message =
    `Operation failed: QueueDeclare; ${code} (X) with message "${words}"`;
  return new BrokerError(message, { code, access });
}

Deno.test("explainRefusal() says what a refused opening lacks, with the broker's words, and no password", () => {
  const cases: [number, string, RegExp][] = [
    [
      403,
      "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.",
      /at \[::1\]:5672 as "staps": it refuses user or password \(403 ACCESS_REFUSED - Login was refused .*PLAIN\.\)$/,
    ],
    [
      530,
      "NOT_ALLOWED - vhost v not found",
      /the virtual host "v" on .*: it doesn't exist \(530 NOT_ALLOWED - vhost v not found\)$/,
    ],
    [
      530,
      "NOT_ALLOWED - access to vhost 'v' refused for user 'staps'",
      /the virtual host "v" on .*: "staps" has no rights in it \(530 NOT_/,
    ],
  ];
  for (const [code, words, expected] of cases) {
    const error = new BrokerError(`${code} ${words}`, { code, opening });
    const { message: text, hint } = explainRefusal(error, url)!;
    assert.match(text, expected);
    assert.doesNotMatch(`${text} ${hint}`, /s3cret/);
  }
});

Deno.test("explainRefusal() names the missing right", () => {
  const cases: [string, Access, RegExp][] = [
    [
      "ACCESS_REFUSED - access to exchange 'staps' in vhost 'v' refused for user 'staps'",
      exchange,
      /lacks the right "write" on the exchange "staps" in the virtual host "v" \(403 ACCESS_REFUSED - /,
    ],
    // Binding a queue needs the right to read the exchange, too.
    [
      "ACCESS_REFUSED - access to exchange 'staps' in vhost 'v' refused for user 'staps'",
      queue,
      /lacks the right "read" on the exchange "staps"/,
    ],
    [
      "ACCESS_REFUSED - configure access to queue 'staps.node.1' in vhost 'v' refused for user 'staps'",
      queue,
      /lacks the right "configure" on the queue "staps.node.1"/,
    ],
  ];
  for (const [words, access, expected] of cases) {
    const { message } = explainRefusal(answer(403, words, access), url)!;
    assert.match(message, expected);
  }
});

Deno.test("explainRefusal() leaves to the next try what may heal", () => {
  const refused = (code: number, words: string): BrokerError =>
    new BrokerError(`${code} ${words}`, { code, opening });
  const vhost = "access to vhost 'v' refused for user 'staps'";
  for (
    const error of [
      new BrokerError("connect ECONNREFUSED", {
        opening: { voice: "nothing" },
      }),
      new BrokerError("NOT_FOUND", { code: 404, access: queue }),
      new BrokerError("closed"),
      // These were taken for a virtual host that doesn't exist.
      refused(530, `NOT_ALLOWED - ${vhost}: connection limit (1) is reached`),
      refused(541, `INTERNAL_ERROR - ${vhost}: vhost 'v' is down`),
      refused(
        530,
        "NOT_ALLOWED - connection refused for user 'staps': user connection limit (1) is reached",
      ),
      // And these for a queue with other arguments, or a missing right.
      answer(
        406,
        "PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost 'v' (1) is reached",
        queue,
      ),
      answer(
        403,
        "ACCESS_REFUSED - queue 'staps.node.1' in vhost 'v' in exclusive use",
        queue,
      ),
    ]
  ) assert.equal(explainRefusal(error, url), undefined, error.message);
});
