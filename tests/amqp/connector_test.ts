import assert from "node:assert/strict";
import { BrokerError } from "../../src/amqp/broker_error.ts";
import type { Endpoint } from "../../src/amqp/connect.ts";
import { Connector, type Steps } from "../../src/amqp/connector.ts";
import type { Link } from "../../src/amqp/link.ts";
import { ConfigError } from "../../src/common/errors.ts";
import { BridgeUnavailableError } from "../../src/relay/bridge.ts";
import { brokerUrl } from "../../tools/bridge_options.ts";
import { eventually } from "../../tools/eventually.ts";

/** A link that only lives and dies. */
class FakeLink {
  readonly #down = Promise.withResolvers<BrokerError>();
  readonly down = this.#down.promise;

  destroy(reason: BrokerError): void {
    this.#down.resolve(reason);
  }

  close(): Promise<void> {
    this.destroy(new BrokerError("closed"));
    return Promise.resolve();
  }
}

const hosts = ["one", "two"].map((hostname) => ({ hostname, port: 1 }));
const options = {
  amqp: brokerUrl("amqp://a:b@unused"),
  hosts,
  onOutage: "local",
} as const;

function fakeLink(): Link {
  return new FakeLink() as unknown as Link;
}

/** Makes a connector that remembers its steps. */
function make(steps: Partial<Steps> = {}): {
  connector: Connector;
  done: string[];
} {
  const done: string[] = [];
  const connector: Connector = new Connector(options, {
    open: async (endpoint: Endpoint) => {
      done.push(`open ${endpoint.hostname}`);
      return await (steps.open?.(endpoint) ?? fakeLink());
    },
    prepare: async (link) => {
      done.push("prepare");
      assert.equal(connector.link, undefined);
      await steps.prepare?.(link);
    },
    begin: (link) => {
      done.push("begin");
      assert.equal(connector.link, link);
    },
    end: ({ message }) => {
      done.push(`end ${message}`);
      assert.equal(connector.link, undefined);
    },
  });
  return { connector, done };
}

Deno.test("Connector.start() tries every host once, and then goes on", async () => {
  let isUp = false;
  const { connector, done } = make({
    open: () =>
      isUp
        ? Promise.resolve(fakeLink())
        : Promise.reject(new BrokerError("connect ECONNREFUSED")),
  });
  await connector.start();
  assert.deepEqual(done.splice(0, 4), [
    "open one",
    "end connect ECONNREFUSED",
    "open two",
    "end connect ECONNREFUSED",
  ]);
  assert.equal(connector.problem, "connect ECONNREFUSED");
  isUp = true;
  await eventually(() => connector.link !== undefined, "the connection");
  assert.equal(connector.problem, undefined);
  await connector.close(() => Promise.resolve());
});

Deno.test("Connector connects again when a link is lost", async () => {
  const { connector, done } = make();
  await connector.start();
  assert.equal(connector.broker, "one:1");
  connector.link!.destroy(new BrokerError("cut"));
  await eventually(() => connector.connects === 2, "the second link");
  await connector.close(async () => void await done.push("last"));
  assert.deepEqual(done, [
    "open one",
    "prepare",
    "begin",
    "end cut",
    "open one",
    "prepare",
    "begin",
    "last",
    "end closed",
  ]);
  assert.equal(connector.broker, undefined);
});

Deno.test("Connector connects to the next host when a broker was silent", async () => {
  const { connector } = make();
  await connector.start();
  connector.link!.destroy(new BrokerError("no message", { late: true }));
  await eventually(() => connector.connects === 2, "the second link");
  assert.equal(connector.broker, "two:1");
  await connector.close(() => Promise.resolve());
});

Deno.test("Connector.start() throws what can't heal", async () => {
  const access = { right: "write", kind: "exchange", name: "staps" } as const;
  const { connector, done } = make({
    prepare: () =>
      Promise.reject(
        new BrokerError("access to exchange 'x' refused", {
          code: 403,
          access,
        }),
      ),
  });
  await assert.rejects(connector.start(), ConfigError);
  assert.deepEqual(done, [
    "open one",
    "prepare",
    "end access to exchange 'x' refused",
  ]);
});

// It ended the process, with the wrong reason.
Deno.test("Connector.start() goes on trying where the broker's no can heal, and tells the reason", async () => {
  const words =
    "530 NOT_ALLOWED - access to vhost '/' refused for user 'a': connection limit (1) is reached";
  let isFull = true;
  const { connector } = make({
    open: () =>
      isFull
        ? Promise.reject(
          new BrokerError(words, { code: 530, opening: { voice: "AMQP" } }),
        )
        : Promise.resolve(fakeLink()),
  });
  await connector.start();
  assert.match(
    connector.problem!,
    /^the virtual host "\/" may have no more connections: .* \(530 NOT_ALLOWED - .* reached\)$/,
  );
  isFull = false;
  await eventually(() => connector.link !== undefined, "the connection");
  await connector.close(() => Promise.resolve());
});

Deno.test("Connector.start() ends when it is closed meanwhile, and the late link is broken off", async () => {
  const opened = Promise.withResolvers<Link>();
  const { connector, done } = make({ open: () => opened.promise });
  const start = assert.rejects(connector.start(), BridgeUnavailableError);
  await connector.close(() => Promise.resolve());
  await start;
  const link = fakeLink();
  opened.resolve(link);
  assert.equal((await link.down).message, "closed");
  assert.deepEqual(done, ["open one", "end closed"]);
});
