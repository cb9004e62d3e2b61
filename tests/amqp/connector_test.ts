import assert from "node:assert/strict";
import { BrokerError } from "../../src/amqp/broker_error.ts";
import type { Endpoint } from "../../src/amqp/connect.ts";
import { Connector, type Steps } from "../../src/amqp/connector.ts";
import type { Link } from "../../src/amqp/link.ts";
import { ConfigError } from "../../src/common/errors.ts";
import { BridgeUnavailableError } from "../../src/relay/bridge.ts";
import { brokerUrl } from "../../tools/bridge_options.ts";
import { eventually } from "../../tools/eventually.ts";
import { MortalLink } from "./fakes.ts";

/** A link that may be closed, too. */
class FakeLink extends MortalLink {
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

/** For a last message before the end there is none. */
const nothing = (): Promise<void> => Promise.resolve();

Deno.test("Connector.start() tries every host once, tells the reason, and goes on", async () => {
  const words =
    "530 NOT_ALLOWED - access to vhost '/' refused for user 'a': connection limit (1) is reached";
  const cases: [BrokerError, problem: RegExp][] = [
    [new BrokerError("connect ECONNREFUSED"), /^connect ECONNREFUSED$/],
    // It ended the process, with the wrong reason.
    [
      new BrokerError(words, { code: 530, opening: { voice: "AMQP" } }),
      /^the virtual host "\/" may have no more connections: .* \(530 NOT_ALLOWED - .* reached\)$/,
    ],
  ];
  for (const [error, problem] of cases) {
    let isUp = false;
    const { connector, done } = make({
      open: () => isUp ? Promise.resolve(fakeLink()) : Promise.reject(error),
    });
    await connector.start();
    const tries = ["one", "two"]
      .flatMap((host) => [`open ${host}`, `end ${error.message}`]);
    assert.deepEqual(done.slice(0, 4), tries);
    assert.match(connector.problem!, problem);
    isUp = true;
    await eventually(() => connector.link !== undefined, "the connection");
    assert.equal(connector.problem, undefined);
    await connector.close(nothing);
  }
});

Deno.test("Connector connects again when a link is lost", async () => {
  const { connector, done } = make();
  await connector.start();
  assert.equal(connector.broker, "one:1");
  connector.link!.destroy(new BrokerError("cut"));
  await eventually(() => connector.connects === 2, "the second link");
  await connector.close(async () => void await done.push("last"));
  const began = ["open one", "prepare", "begin"];
  assert.deepEqual(
    done,
    [...began, "end cut", ...began, "last", "end closed"],
  );
  assert.equal(connector.broker, undefined);
});

Deno.test("Connector connects to the next host when a broker was silent", async () => {
  const { connector } = make();
  await connector.start();
  connector.link!.destroy(new BrokerError("no message", { late: true }));
  await eventually(() => connector.connects === 2, "the second link");
  assert.equal(connector.broker, "two:1");
  await connector.close(nothing);
});

Deno.test("Connector.start() throws what can't heal", async () => {
  const access = { right: "write", kind: "exchange", name: "staps" } as const;
  const error = new BrokerError("access to exchange 'x' refused", {
    code: 403,
    access,
  });
  const { connector, done } = make({ prepare: () => Promise.reject(error) });
  await assert.rejects(connector.start(), ConfigError);
  assert.deepEqual(done, ["open one", "prepare", `end ${error.message}`]);
});

Deno.test("Connector.start() ends when it is closed meanwhile, and the late link is broken off", async () => {
  const opened = Promise.withResolvers<Link>();
  const { connector, done } = make({ open: () => opened.promise });
  const start = assert.rejects(connector.start(), BridgeUnavailableError);
  await connector.close(nothing);
  await start;
  const link = fakeLink();
  opened.resolve(link);
  assert.equal((await link.down).message, "closed");
  assert.deepEqual(done, ["open one", "end closed"]);
});
