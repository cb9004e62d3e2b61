/** The bridge against a real RabbitMQ: messages, joins, losses, refusals. */
import assert from "node:assert/strict";
import type { AmqpBridgeOptions } from "../../src/amqp/bridge.ts";
import { BridgeUnavailableError } from "../../src/relay/bridge.ts";
import { channelKey } from "../../src/relay/channel_hash.ts";
import { ConfigError } from "../../src/common/errors.ts";
import { publish, testContract } from "../relay/bridge_contract.ts";
import {
  type Broker,
  type BrokerKind,
  brokerKinds,
  kindName,
  startBroker,
} from "../helpers/broker.ts";
import { type BridgeNode, startBridgeNode } from "../helpers/bridge_node.ts";
import { startCluster } from "../helpers/broker_cluster.ts";
import { whyNoBroker } from "../helpers/broker_programs.ts";
import { eventually, pause, within } from "../helpers/eventually.ts";
import { FaultyProxy } from "../helpers/faulty_proxy.ts";
import { freePort } from "../helpers/folder.ts";
import {
  encodeProperties,
  ForeignNode,
  type ForeignProperties,
  nestedHeaders,
} from "../helpers/foreign_node.ts";
import { testUnless } from "../helpers/skip.ts";

const KiB = 1024;

/** Starts nodes that join the channel `path`. */
async function startNodes(
  stack: AsyncDisposableStack,
  amqp: string,
  { count = 2, path, ...options }:
    & { count?: number; path?: string }
    & Partial<AmqpBridgeOptions> = {},
): Promise<BridgeNode[]> {
  const nodes = [];
  for (let i = 0; i < count; i++) {
    const node = stack.use(await startBridgeNode(amqp, options));
    if (path !== undefined) await node.bridge.join(path);
    nodes.push(node);
  }
  return nodes;
}

/** Resolves when the bridge is connected, and a message through the broker comes back. */
async function connected({ bridge }: BridgeNode): Promise<void> {
  await eventually(async () => {
    try {
      return await bridge.probe(5_000) >= 0;
    } catch {
      return false;
    }
  }, () => `the connection: ${JSON.stringify(bridge.state())}`);
}

async function disconnected({ bridge }: BridgeNode): Promise<void> {
  await eventually(() => !bridge.state().connected, "the loss of connection");
}

/** Resolves when the broker has everything that was published. */
async function settled({ bridge }: BridgeNode): Promise<void> {
  await eventually(
    () => bridge.state().outboxMessages === 0,
    "everything to be confirmed",
  );
}

/** Gets the queues of a vhost by name, with their number of messages. */
async function queues(broker: Broker, vhost: string): Promise<string[]> {
  const text = await broker.eval(
    `[binary_to_list(element(4, amqqueue:get_name(Q))) || ` +
      `Q <- rabbit_amqqueue:list(<<"${vhost}">>)]`,
  );
  return [...text.matchAll(/staps\.node\.[0-9a-f.]+/g)].map(([name]) => name);
}

/** Gets the number of queues that are bound for the channel `path`. */
async function bindings(
  broker: Broker,
  vhost: string,
  path: string,
): Promise<number> {
  return Number(
    await broker.eval(
      `length([B || B <- rabbit_binding:list(<<"${vhost}">>), ` +
        `element(3, B) =:= <<"${channelKey(path)}">>])`,
    ),
  );
}

/** What administrators have against lost messages: an exchange that takes what has nowhere to go. */
async function takeUnroutable(broker: Broker, vhost: string): Promise<void> {
  const name = (kind: string): string =>
    `rabbit_misc:r(<<"${vhost}">>, ${kind}, <<"unrouted">>)`;
  // A policy makes no exchange, and one without a queue takes nothing.
  await broker.eval(
    `rabbit_exchange:declare(${
      name("exchange")
    }, fanout, true, false, false, [], <<"test">>), ` +
      `rabbit_amqqueue:declare(${
        name("queue")
      }, true, false, [], none, <<"test">>), ` +
      `rabbit_binding:add({binding, ${name("exchange")}, <<>>, ${
        name("queue")
      }, []}, <<"test">>), ok`,
  );
  await broker.rabbitmqctl(
    ...["set_policy", "-p", vhost, "unrouted", "^staps$"],
    `{"alternate-exchange":"unrouted"}`,
    ...["--apply-to", "exchanges"],
  );
}

/** Ways to lose every binding of a vhost's nodes, as Erlang. */
const removals: Readonly<Record<string, (vhost: string) => string>> = {
  "the exchange was deleted": (vhost) =>
    `rabbit_exchange:delete(rabbit_misc:r(<<"${vhost}">>, exchange, <<"staps">>), false, <<"test">>), ok`,
  "all bindings were removed": (vhost) =>
    `[rabbit_binding:remove(B, <<"test">>) || B <- rabbit_binding:list_for_source(` +
    `rabbit_misc:r(<<"${vhost}">>, exchange, <<"staps">>))], ok`,
};

/** Publishes what no node would. */
async function publishForeign(
  broker: Broker,
  vhost: string,
  { key, properties, body = "" }: {
    key: string;
    properties: ForeignProperties;
    body?: string;
  },
): Promise<void> {
  using foreign = await ForeignNode.connect({
    port: broker.port,
    user: "staps",
    password: "secret",
    vhost,
  });
  await foreign.publish([{
    exchange: "staps",
    key,
    properties: encodeProperties(properties),
    body: new TextEncoder().encode(body),
  }]);
}

async function testBridge(
  t: Deno.TestContext,
  kind: BrokerKind,
): Promise<void> {
  await using broker = await startBroker(kind);

  /** Runs a step on a vhost of its own. */
  const step = (
    name: string,
    run: (
      place: { stack: AsyncDisposableStack; amqp: string; vhost: string },
    ) => Promise<void>,
  ): Promise<boolean> =>
    t.step(name, async () => {
      const vhost = await broker.addVhost();
      await using stack = new AsyncDisposableStack();
      await run({ stack, amqp: broker.url(vhost), vhost });
    });

  await t.step("runs on the broker that was asked for", async () => {
    assert.ok(
      (await broker.eval("rabbit_misc:version()"))
        .startsWith(`"${kind.version}.`),
    );
    if (kind.version === "4.0") {
      assert.equal(
        await broker.eval("rabbit_khepri:is_enabled()"),
        `${kind.database === "khepri"}`,
      );
    }
  });

  await t.step("does what every bridge does", async (t) => {
    await using node = await startBridgeNode(broker.url());
    await testContract(t, node);
  });

  await step("publish() keeps kind, bytes and order", async (place) => {
    const path = "/" + "long/".repeat(800);
    const [a, b] = await startNodes(place.stack, place.amqp, { path });
    const big = crypto.getRandomValues(new Uint8Array(64 * KiB));
    const mebibyte = new Uint8Array(KiB * KiB).map((_, i) => big[i % 65_536]!);
    const sent = [
      "text",
      "",
      new Uint8Array(),
      new Uint8Array([0, 255, 128]),
      "\uFEFFa byte order mark",
      "\0 \u00E9 \u20AC \u{1F600}",
      mebibyte,
      "x".repeat(KiB * KiB),
      "the last",
    ];
    for (const content of sent) publish(a!, path, content);
    publish(a!, path, sent[3]!);
    const got = await b!.listener.got(path, sent.length + 1);
    for (const [i, content] of sent.entries()) {
      assert.deepEqual(got[i], content);
    }
    assert.equal(b!.listener.delivered[6]!.content.length, KiB * KiB);
    assert.deepEqual(a!.listener.delivered, []);
  });

  await step("join() makes all that follows arrive", async (place) => {
    const [a, b] = await startNodes(place.stack, place.amqp);
    for (let i = 0; i < 200; i++) {
      const path = `/now/${i}`;
      await a!.bridge.join(path);
      await b!.bridge.join(path);
      publish(a!, path, `${i}`);
    }
    for (let i = 0; i < 200; i++) {
      assert.deepEqual(await b!.listener.got(`/now/${i}`, 1), [`${i}`]);
    }
  });

  await step(
    "join() and leave() in quick succession end as the last call said",
    async ({ stack, amqp, vhost }) => {
      const [a] = await startNodes(stack, amqp, { count: 1 });
      const joined: boolean[] = [];
      const joins: Promise<void>[] = [];
      for (let round = 0; round < 20; round++) {
        for (let i = 0; i < 30; i++) {
          if (joined[i]) a!.bridge.leave(`/quick/${i}`);
          else joins.push(a!.bridge.join(`/quick/${i}`));
          joined[i] = !joined[i];
          if (Math.random() < 0.3) await pause(0);
        }
        if (Math.random() < 0.5) joined[round] = !joined[round];
        if (joined[round]) joins.push(a!.bridge.join(`/quick/${round}`));
        else a!.bridge.leave(`/quick/${round}`);
      }
      await Promise.all(joins);
      await eventually(
        () => a!.bridge.state().joinsWaiting === 0,
        "the last leave",
      );
      for (let i = 0; i < 30; i++) {
        await eventually(
          async () =>
            await bindings(broker, vhost, `/quick/${i}`) ===
              (joined[i] ? 1 : 0),
          `channel ${i} to be ${joined[i] ? "bound" : "unbound"}`,
        );
      }
      assert.equal(
        a!.bridge.state().channels,
        joined.filter((one) => one).length,
      );
    },
  );

  await step("different exchanges don't hear each other", async (place) => {
    const path = "/both";
    const [a] = await startNodes(place.stack, place.amqp, { count: 1, path });
    const [b] = await startNodes(place.stack, place.amqp, {
      count: 1,
      path,
      exchange: "staps2",
    });
    publish(a!, path, "for nobody");
    publish(b!, path, "for nobody");
    await a!.bridge.probe(5_000);
    await b!.bridge.probe(5_000);
    assert.deepEqual(b!.listener.delivered, []);
    assert.deepEqual(a!.listener.delivered, []);
  });

  await step(
    "takes nothing but a notice for a notice to every node",
    async ({ stack, amqp, vhost }) => {
      const [a] = await startNodes(stack, amqp, { count: 1, path: "/x" });
      for (const type of ["text", "binary", "batch", "probe"]) {
        await publishForeign(broker, vhost, {
          key: "all",
          properties: { type, appId: "0123456789abcdef", messageId: "1.0" },
          body: "no number",
        });
      }
      // It comes after them.
      await a!.bridge.probe(30_000);
      assert.deepEqual(a!.listener.gaps, []);
      assert.deepEqual(a!.listener.delivered, []);
    },
  );

  await step("the broker sees hashes and no path", async (place) => {
    const secret = crypto.randomUUID();
    const [a, b] = await startNodes(place.stack, place.amqp, {
      path: `/${secret}`,
    });
    publish(a!, `/${secret}`, "hello");
    await b!.listener.got(`/${secret}`, 1);
    const { vhost } = place;
    const seen = await Promise.all([
      broker.rabbitmqctl("list_bindings", "-p", vhost),
      broker.rabbitmqctl("list_queues", "-p", vhost, "name", "arguments"),
      broker.rabbitmqctl("list_exchanges", "-p", vhost),
      broker.rabbitmqctl("list_consumers", "-p", vhost),
      broker.rabbitmqctl("list_connections", "name", "client_properties"),
    ]);
    assert.match(seen[0]!, new RegExp(channelKey(`/${secret}`)));
    assert.doesNotMatch(seen.join("\n"), new RegExp(secret));
  });

  await step(
    "close() deletes the queue, and one that is abandoned expires",
    async ({ amqp, vhost }) => {
      const proxy = await FaultyProxy.start(broker.port);
      const a = await startBridgeNode(broker.url(vhost, { port: proxy.port }), {
        queueExpiresS: 5,
      });
      const b = await startBridgeNode(amqp);
      assert.equal((await queues(broker, vhost)).length, 2);
      await b.bridge.close();
      assert.equal((await queues(broker, vhost)).length, 1);
      // As if the process had been killed: nothing is said any more.
      await proxy[Symbol.asyncDispose]();
      await eventually(
        async () => (await queues(broker, vhost)).length === 0,
        "the abandoned queue to expire",
      );
      await a.bridge.close();
    },
  );

  await step(
    "close() ends in time whatever the network does",
    async ({ vhost }) => {
      await using proxy = await FaultyProxy.start(broker.port);
      const node = await startBridgeNode(
        broker.url(vhost, { port: proxy.port }),
      );
      proxy.blackHole();
      await within(node.bridge.close(), "close()");
    },
  );

  await step(
    "probe() tells how long a message takes, or fails in time",
    async ({ vhost }) => {
      await using proxy = await FaultyProxy.start(broker.port);
      const url = broker.url(vhost, { port: proxy.port });
      await using node = await startBridgeNode(url);
      assert.ok(await node.bridge.probe(5_000) > 0);
      proxy.blackHole();
      await assert.rejects(node.bridge.probe(100), /doesn't return a message/);
      proxy.heal();
      await connected(node);
    },
  );

  await step(
    "a memory alarm holds up messages, and neither joins nor leaves",
    async ({ stack, amqp, vhost }) => {
      const [a, b] = await startNodes(stack, amqp, { path: "/alarm" });
      await broker.memoryAlarm(true);
      try {
        publish(a!, "/alarm", "held up");
        await eventually(() => a!.bridge.state().blocked, "the block");
        publish(a!, "/alarm", "held up too");
        assert.ok(a!.bridge.state().outboxMessages > 0);
        await b!.bridge.join("/during");
        assert.equal(await bindings(broker, vhost, "/during"), 1);
        b!.bridge.leave("/during");
        await eventually(
          async () => await bindings(broker, vhost, "/during") === 0,
          "the leave",
        );
      } finally {
        await broker.memoryAlarm(false);
      }
      await b!.listener.got("/alarm", 2);
      assert.equal(a!.bridge.state().blocked, undefined);
      assert.deepEqual(b!.listener.messages("/alarm"), [
        "held up",
        "held up too",
      ]);
    },
  );

  await t.step("join() while the broker can't be reached", async (t) => {
    const nowhere = `amqp://staps:secret@127.0.0.1:${freePort()}/`;
    await t.step(
      "resolves where on_outage is local, and takes effect later",
      async () => {
        const vhost = await broker.addVhost();
        const proxy = await FaultyProxy.start(broker.port);
        await using a = await startBridgeNode(
          broker.url(vhost, { port: proxy.port }),
        );
        await using b = await startBridgeNode(broker.url(vhost));
        proxy.blackHole();
        proxy.reset();
        await disconnected(a);
        await a.bridge.join("/later");
        await b.bridge.join("/later");
        publish(a, "/later", "from the outbox");
        proxy.heal();
        await b.listener.got("/later", 1);
        await eventually(
          async () => await bindings(broker, vhost, "/later") === 2,
          "the late join",
        );
        publish(b, "/later", "and back");
        await a.listener.got("/later", 1);
        assert.deepEqual(a.listener.gaps, []);
        await a.bridge.close();
        await proxy[Symbol.asyncDispose]();
      },
    );
    await t.step("rejects where on_outage is refuse", async () => {
      await using a = await startBridgeNode(nowhere, { onOutage: "refuse" });
      await assert.rejects(a.bridge.join("/now"), BridgeUnavailableError);
      assert.equal(a.bridge.state().channels, 0);
    });
    await t.step(
      "rejects after its time where the broker is silent",
      async () => {
        const vhost = await broker.addVhost();
        await using proxy = await FaultyProxy.start(broker.port);
        await using a = await startBridgeNode(
          broker.url(vhost, { port: proxy.port }),
          {
            onOutage: "refuse",
            joinTimeoutS: 1,
            heartbeatS: 30,
          },
        );
        proxy.blackHole();
        await assert.rejects(a.bridge.join("/now"), BridgeUnavailableError);
        proxy.heal();
        await eventually(
          () => a.bridge.state().channels === 0,
          "the join to be taken back",
        );
        assert.equal(await bindings(broker, vhost, "/now"), 0);
      },
    );
    await t.step("start() goes on trying", async () => {
      const port = freePort();
      await using a = await startBridgeNode(
        `amqp://staps:secret@127.0.0.1:${port}/`,
      );
      assert.equal(a.bridge.state().connected, false);
      await assert.rejects(a.bridge.probe(100), /can't be reached/);
    });
  });

  await t.step("tells those who miss messages, and nobody else", async (t) => {
    const step = (
      name: string,
      run: (
        place: { stack: AsyncDisposableStack; amqp: string; vhost: string },
      ) => Promise<void>,
    ): Promise<boolean> =>
      t.step(name, async () => {
        const vhost = await broker.addVhost();
        await using stack = new AsyncDisposableStack();
        await run({ stack, amqp: broker.url(vhost), vhost });
      });

    await step("when the outbox is full", async ({ stack, amqp, vhost }) => {
      const proxy = stack.use(await FaultyProxy.start(broker.port));
      const a = stack.use(
        await startBridgeNode(broker.url(vhost, { port: proxy.port }), {
          outboxBytes: 64 * KiB,
        }),
      );
      const b = stack.use(await startBridgeNode(amqp));
      for (const node of [a, b]) {
        for (const path of ["/full", "/quiet"]) await node.bridge.join(path);
      }
      proxy.blackHole();
      proxy.reset();
      await disconnected(a);
      publish(a, "/quiet", "fits");
      for (let i = 0; i < 100; i++) publish(a, "/full", "x".repeat(KiB));
      // Clients here are told once an outage.
      assert.deepEqual(a.listener.gaps, ["/full"]);
      const { dropped } = a.bridge.state();
      assert.ok(dropped > 0);
      proxy.heal();
      // The loss is at the end: only a notice can tell.
      await eventually(() => b.listener.gaps.length > 0, "the gap");
      assert.deepEqual(b.listener.gaps, ["/full"]);
      assert.equal(b.listener.messages("/full").length, 100 - dropped);
      await settled(a);
      publish(a, "/full", "again");
      publish(a, "/quiet", "again");
      await b.listener.got("/full", 101 - dropped);
      assert.deepEqual(await b.listener.got("/quiet", 2), ["fits", "again"]);
      assert.deepEqual(b.listener.gaps, ["/full"]);

      // The next outage begins before the bridge has looked whether this one is
      // over: nobody here was told of its losses.
      await settled(a);
      proxy.blackHole();
      proxy.reset();
      await disconnected(a);
      for (let i = 0; i < 100; i++) publish(a, "/full", "x".repeat(KiB));
      assert.deepEqual(a.listener.gaps, ["/full", "/full"]);
      proxy.heal();
      await settled(a);
    });

    await step("when its queue is full", async ({ stack, amqp, vhost }) => {
      const proxy = stack.use(await FaultyProxy.start(broker.port));
      const small = { queueBytes: 64 * KiB };
      const cut = stack.use(
        await startBridgeNode(broker.url(vhost, { port: proxy.port }), small),
      );
      const [a, c] = await startNodes(stack, amqp, small);
      for (const node of [a!, c!, cut]) {
        for (const path of ["/full", "/fresh", "/quiet"]) {
          await node.bridge.join(path);
        }
      }
      publish(a!, "/full", "before");
      publish(a!, "/quiet", "before");
      await cut.listener.got("/full", 1);
      proxy.blackHole();
      proxy.reset();
      await disconnected(cut);
      publish(a!, "/quiet", "kept");
      for (let i = 0; i < 200; i++) publish(a!, "/full", "x".repeat(KiB));
      // Its first messages are lost: no number tells that there were any.
      for (let i = 0; i < 3; i++) publish(a!, "/fresh", "y".repeat(2 * KiB));
      await c!.listener.got("/fresh", 3);
      await eventually(() => a!.bridge.state().rejected > 3, "the rejections");
      // The network stays bad for a while, so notices are rejected, too.
      await pause(3_000);
      await c!.bridge.join("/newcomer");
      proxy.heal();
      await eventually(
        () => cut.listener.gaps.length >= 2,
        "the gaps",
      );
      publish(a!, "/fresh", "last");
      publish(a!, "/full", "last");
      await eventually(
        () =>
          ["/fresh", "/full"].every((path) =>
            cut.listener.messages(path).at(-1) === "last"
          ),
        "the last messages",
      );
      await pause(2_500);
      assert.deepEqual([...cut.listener.gaps].sort(), ["/fresh", "/full"]);
      assert.deepEqual(cut.listener.messages("/quiet"), ["before", "kept"]);
      assert.equal(c!.listener.messages("/full").length, 202);
      assert.deepEqual(c!.listener.gaps, []);
      assert.deepEqual(a!.listener.gaps, []);
    });

    await step(
      "when its queue was full, and the sender ends at once",
      async ({ stack, amqp }) => {
        const path = "/end";
        const [a] = await startNodes(stack, amqp, { count: 1, path });
        const b = stack.use(
          await startBridgeNode(amqp, { queueBytes: 64 * KiB }),
        );
        await b.bridge.join(path);
        publish(a!, path, "larger than the queue".padEnd(65 * KiB));
        await eventually(() => a!.bridge.state().rejected > 0, "the rejection");
        await a!.bridge.close();
        await eventually(() => b.listener.gaps.length > 0, "the gap");
      },
    );

    await step("when its queue was deleted", async ({ stack, amqp, vhost }) => {
      const [a, b] = await startNodes(stack, amqp, { path: "/gone" });
      await a!.bridge.join("/also");
      for (const name of await queues(broker, vhost)) {
        await broker.rabbitmqctl("delete_queue", "-p", vhost, name);
      }
      for (const node of [a!, b!]) {
        await eventually(() => node.listener.gaps.length > 0, "the gap");
        await connected(node);
      }
      await eventually(() => a!.listener.gaps.length === 2, "both gaps");
      assert.deepEqual([...a!.listener.gaps].sort(), ["/also", "/gone"]);
      assert.deepEqual(b!.listener.gaps, ["/gone"]);
      publish(a!, "/gone", "works again");
      await b!.listener.got("/gone", 1);
    });

    await step(
      "when its queue was deleted, and it takes several tries to make another",
      async ({ stack, amqp, vhost }) => {
        const [a] = await startNodes(stack, amqp, { count: 1, path: "/gone" });
        const [name] = await queues(broker, vhost);
        const all = { configure: ".*", write: ".*", read: ".*" };
        await broker.permit("staps", { ...all, configure: "^staps$" }, vhost);
        await broker.rabbitmqctl("delete_queue", "-p", vhost, name!);
        await eventually(
          () => /lacks the right "configure"/.test(a!.bridge.state().problem!),
          "the refusal",
        );
        assert.deepEqual(a!.listener.gaps, []);
        await broker.permit("staps", all, vhost);
        await connected(a!);
        await eventually(() => a!.listener.gaps.length > 0, "the gap");
        assert.deepEqual(a!.listener.gaps, ["/gone"]);
      },
    );

    await step(
      "when its queue has a message that can't be read",
      async ({ stack, amqp, vhost }) => {
        const [a, b] = await startNodes(stack, amqp, { path: "/unreadable" });
        // Deeper than the library's decoder can go. RabbitMQ 4.0 takes two
        // seconds for it, and four times as long for twice as deep.
        await publishForeign(broker, vhost, {
          key: channelKey("/unreadable"),
          properties: { headers: nestedHeaders(10_000) },
        });
        for (const node of [a!, b!]) {
          await eventually(() => node.listener.gaps.length > 0, "the gap");
          await connected(node);
          assert.deepEqual(node.listener.gaps, ["/unreadable"]);
          // It didn't come a second time.
          assert.equal(node.bridge.state().connects, 2);
        }
        publish(a!, "/unreadable", "works again");
        await b!.listener.got("/unreadable", 1);
        assert.equal((await queues(broker, vhost)).length, 2);
      },
    );

    await step(
      "when the exchange was deleted",
      async ({ stack, amqp, vhost }) => {
        const [a, b] = await startNodes(stack, amqp, { path: "/gone" });
        await broker.eval(
          removals["the exchange was deleted"]!(vhost),
        );
        for (const node of [a!, b!]) {
          await eventually(() => node.listener.gaps.length > 0, "the gap");
          assert.deepEqual(node.listener.gaps, ["/gone"]);
          await connected(node);
        }
        publish(a!, "/gone", "works again");
        await b!.listener.got("/gone", 1);
      },
    );

    for (const [what, remove] of Object.entries(removals)) {
      await step(
        `when ${what}, and an alternate exchange takes what has nowhere to go`,
        async ({ stack, amqp, vhost }) => {
          await takeUnroutable(broker, vhost);
          const [a, b] = await startNodes(stack, amqp, { path: "/gone" });
          await broker.eval(remove(vhost));
          // Somebody talks all the while.
          const talking = setInterval(() => publish(a!, "/gone", "?"), 50);
          try {
            for (const node of [a!, b!]) {
              await eventually(() => node.listener.gaps.length > 0, "the gap");
              assert.deepEqual(node.listener.gaps, ["/gone"]);
              await connected(node);
            }
          } finally {
            clearInterval(talking);
          }
          publish(a!, "/gone", "works again");
          await eventually(
            () => b!.listener.messages("/gone").includes("works again"),
            "the message",
          );
        },
      );
    }

    await step(
      "when it was away for longer than its queue",
      async ({ stack, amqp, vhost }) => {
        const proxy = stack.use(await FaultyProxy.start(broker.port));
        const cut = stack.use(
          await startBridgeNode(broker.url(vhost, { port: proxy.port }), {
            queueExpiresS: 5,
          }),
        );
        const [a] = await startNodes(stack, amqp, { count: 1, path: "/away" });
        await cut.bridge.join("/away");
        proxy.blackHole();
        proxy.reset();
        await disconnected(cut);
        await cut.bridge.join("/during");
        await eventually(
          async () => (await queues(broker, vhost)).length === 1,
          "the queue to expire",
        );
        publish(a!, "/away", "missed");
        assert.deepEqual(cut.listener.gaps, []);
        proxy.heal();
        await eventually(() => cut.listener.gaps.length > 0, "the gap");
        assert.deepEqual(cut.listener.gaps, ["/away"]);
        assert.deepEqual(a!.listener.gaps, []);
        publish(a!, "/away", "works again");
        assert.deepEqual(await cut.listener.got("/away", 1), ["works again"]);
      },
    );

    await step(
      "when a message is larger than the broker takes",
      async ({ stack, amqp }) => {
        await broker.maxMessageSize(100_000);
        try {
          const [a, b] = await startNodes(stack, amqp, { path: "/big" });
          publish(a!, "/big", "before");
          publish(a!, "/big", "x".repeat(200_000));
          publish(a!, "/big", "after");
          assert.deepEqual(await b!.listener.got("/big", 2), [
            "before",
            "after",
          ]);
          await eventually(() => b!.listener.gaps.length > 0, "the gap");
          assert.deepEqual(b!.listener.gaps, ["/big"]);
        } finally {
          await broker.maxMessageSize();
        }
      },
    );

    await step(
      "when the only message of a sender vanished from its queue",
      async ({ stack, amqp, vhost }) => {
        const proxy = stack.use(await FaultyProxy.start(broker.port));
        const cut = stack.use(
          await startBridgeNode(broker.url(vhost, { port: proxy.port })),
        );
        const [name] = await queues(broker, vhost);
        await cut.bridge.join("/silent");
        const [a, b] = await startNodes(stack, amqp, { path: "/silent" });
        // They have told each other that nobody sent anything yet.
        await pause(1_000);
        proxy.blackHole();
        proxy.reset();
        await disconnected(cut);
        publish(a!, "/silent", "missed");
        await b!.listener.got("/silent", 1);
        await settled(a!);
        await broker.eval(
          `{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"${vhost}">>, queue, <<"${name}">>)), ` +
            `rabbit_amqqueue:purge(Q), ok`,
        );
        proxy.heal();
        await eventually(() => cut.listener.gaps.length > 0, "the gap");
        assert.deepEqual(cut.listener.gaps, ["/silent"]);
        assert.deepEqual(cut.listener.messages("/silent"), []);
        assert.deepEqual(b!.listener.gaps, []);
      },
    );

    await step(
      "when the broker takes less than a batch, and it was away: once",
      async ({ stack, amqp, vhost }) => {
        await broker.maxMessageSize(16 * KiB);
        const proxy = stack.use(await FaultyProxy.start(broker.port));
        try {
          const far = broker.url(vhost, { port: proxy.port });
          const [a] = await startNodes(stack, far, { count: 1, path: "/s" });
          const [b] = await startNodes(stack, amqp, { count: 1, path: "/s" });
          const before = a!.bridge.state().connects;
          proxy.blackHole();
          proxy.reset();
          await disconnected(a!);
          for (let i = 0; i < 10_000; i++) {
            publish(a!, "/s", `${i}`.padEnd(100));
          }
          proxy.heal();
          await connected(a!);
          await settled(a!);
          await eventually(() => b!.listener.gaps.length > 0, "the gap");
          // One to be refused, one to go on.
          assert.equal(a!.bridge.state().connects, before + 2);
          publish(a!, "/s", "after");
          await eventually(
            () => b!.listener.messages("/s").at(-1) === "after",
            "the message",
          );
        } finally {
          await broker.maxMessageSize();
        }
      },
    );

    await step(
      "when the broker lost a binding, as it was killed right after it",
      async ({ stack, amqp, vhost }) => {
        const proxy = stack.use(await FaultyProxy.start(broker.port));
        const cut = stack.use(
          await startBridgeNode(broker.url(vhost, { port: proxy.port })),
        );
        const [name] = await queues(broker, vhost);
        const [a] = await startNodes(stack, amqp, { count: 1, path: "/lost" });
        for (const path of ["/kept", "/lost"]) await cut.bridge.join(path);
        await a!.bridge.join("/kept");
        const { connects } = cut.bridge.state();
        const place = (kind: string, name: string): string =>
          `rabbit_misc:r(<<"${vhost}">>, ${kind}, <<"${name}">>)`;
        await broker.eval(
          `rabbit_binding:remove({binding, ${place("exchange", "staps")}, ` +
            `<<"${channelKey("/lost")}">>, ${place("queue", name!)}, []}, ` +
            `fun (_, _) -> ok end, <<"test">>), ok`,
        );
        assert.equal(await bindings(broker, vhost, "/lost"), 1);
        publish(a!, "/lost", "missed");
        proxy.reset();
        await eventually(() => cut.listener.gaps.length > 0, "the gap");
        assert.ok(cut.bridge.state().connects > connects);
        publish(a!, "/kept", "as ever");
        publish(a!, "/lost", "works again");
        assert.deepEqual(await cut.listener.got("/kept", 1), ["as ever"]);
        assert.deepEqual(await cut.listener.got("/lost", 1), ["works again"]);
        assert.deepEqual(cut.listener.gaps, ["/lost"]);
        assert.deepEqual(a!.listener.gaps, []);
      },
    );

    // It stayed deaf for this channel, and nobody was told.
    await step(
      "when it came back to a channel, and then what it said on a lost connection ended that",
      async ({ stack, amqp, vhost }) => {
        const proxy = stack.use(await FaultyProxy.start(broker.port));
        const cut = stack.use(
          await startBridgeNode(broker.url(vhost, { port: proxy.port })),
        );
        const [a] = await startNodes(stack, amqp, { count: 1, path: "/back" });
        await cut.bridge.join("/back");
        const { connects } = cut.bridge.state();
        // The broker gets it long after the node took its connection for lost.
        proxy.delay(1_000);
        cut.bridge.leave("/back");
        await pause(100);
        proxy.halfOpen();
        proxy.delay(0);
        await disconnected(cut);
        await cut.bridge.join("/back");
        await eventually(
          () => cut.bridge.state().connects > connects,
          "another connection",
        );
        await eventually(
          async () => await bindings(broker, vhost, "/back") === 1,
          "the late unbind",
        );
        publish(a!, "/back", "missed");
        await eventually(() => cut.listener.gaps.length > 0, "the gap");
        assert.deepEqual(cut.listener.gaps, ["/back"]);
        assert.equal(await bindings(broker, vhost, "/back"), 2);
        publish(a!, "/back", "works again");
        assert.deepEqual(await cut.listener.got("/back", 1), ["works again"]);
      },
    );

    await step(
      "not when it was out of the channel, and finds what waited for it before",
      async ({ stack, amqp, vhost }) => {
        const proxy = stack.use(await FaultyProxy.start(broker.port));
        const cut = stack.use(
          await startBridgeNode(broker.url(vhost, { port: proxy.port })),
        );
        const [a] = await startNodes(stack, amqp, { count: 1, path: "/again" });
        await cut.bridge.join("/again");
        const { connects } = cut.bridge.state();
        // The broker takes the dead connection for the queue's consumer, so
        // that messages wait, while binding works.
        proxy.halfOpen();
        await eventually(
          () => cut.bridge.state().connects > connects,
          "another connection",
        );
        publish(a!, "/again", "before");
        await settled(a!);
        cut.bridge.leave("/again");
        await eventually(() => cut.bridge.state().channels === 0, "the unbind");
        publish(a!, "/again", "meanwhile");
        await settled(a!);
        await cut.bridge.join("/again");
        publish(a!, "/again", "after");
        const [last] = (await cut.listener.got("/again", 2)).slice(-1);
        assert.equal(last, "after");
        assert.deepEqual(cut.listener.gaps, []);
      },
    );

    await step("unless on_gap is continue", async ({ stack, amqp, vhost }) => {
      const [a] = await startNodes(stack, amqp, {
        count: 1,
        path: "/gone",
        onGap: "continue",
      });
      const [name] = await queues(broker, vhost);
      await broker.rabbitmqctl("delete_queue", "-p", vhost, name!);
      await eventually(() => a!.bridge.state().gaps > 0, "the gap");
      assert.deepEqual(a!.listener.gaps, []);
    });
  });
}

async function testManyChannels(kind: BrokerKind): Promise<void> {
  await using broker = await startBroker(kind);
  await using stack = new AsyncDisposableStack();
  const [a, b] = await startNodes(stack, broker.url(), { path: "/0" });
  const paths = Array.from({ length: 10_000 }, (_, i) => `/${i}`);
  await Promise.all(paths.map((path) => a!.bridge.join(path)));
  await broker.kill();
  await disconnected(a!);
  // Those that began meanwhile have to be joined later.
  await a!.bridge.join("/10000");
  a!.bridge.leave("/9999");
  await broker.start();
  await connected(a!);
  await connected(b!);
  await eventually(() => a!.bridge.state().joinsWaiting === 0, "the joins");
  for (const path of ["/0", "/5000", "/10000"]) {
    await b!.bridge.join(path);
    publish(b!, path, "hello");
    assert.deepEqual(await a!.listener.got(path, 1), ["hello"]);
  }
  assert.equal(await bindings(broker, "/", "/9999"), 0);
  // A broker that is killed may forget the newest bindings, and that is told.
  const forgotten = a!.listener.gaps.splice(0);
  assert.ok(forgotten.length < 5_000, `${forgotten.length}`);

  // Now with everything forgotten: every channel is told, and works again.
  await broker.kill();
  await broker.forget();
  await broker.start();
  await broker.setUp();
  await eventually(
    () => a!.listener.gaps.length >= 10_000,
    () => `10,000 gaps, got ${a!.listener.gaps.length}`,
    { timeoutMs: 120_000 },
  );
  await connected(b!);
  publish(b!, "/5000", "again");
  await a!.listener.got("/5000", 2);
  assert.equal(new Set(a!.listener.gaps).size, 10_000);
}

async function testCluster(kind: BrokerKind): Promise<void> {
  // Of three, as one of two that is alone has no majority for Khepri.
  await using cluster = await startCluster(kind);
  const [first, second] = cluster.members as [Broker, Broker];
  const options = { queueType: "classic", heartbeatS: 2 } as const;
  const amqp = "amqp://staps:secret@unused/";
  // Each queue is on the broker that its node came to first.
  await using a = await startBridgeNode(amqp, {
    ...options,
    hosts: cluster.hosts(first),
  });
  await using b = await startBridgeNode(amqp, {
    ...options,
    hosts: cluster.hosts(second),
  });
  for (const { bridge } of [a, b]) {
    for (const path of ["/x", "/y"]) await bridge.join(path);
  }
  publish(a, "/x", "before");
  await b.listener.got("/x", 1);

  await first.kill();
  await connected(b);
  publish(b, "/x", "to a queue that is away");
  // Its queue went with its broker: it takes another one, and tells.
  await eventually(
    () => a.listener.gaps.length === 2,
    () => `the gaps: ${JSON.stringify(a.bridge.state())}`,
  );
  assert.deepEqual([...a.listener.gaps].sort(), ["/x", "/y"]);
  assert.deepEqual(b.listener.gaps, []);
  publish(a, "/x", "after");
  publish(b, "/y", "after");
  assert.deepEqual(await b.listener.got("/x", 2), ["before", "after"]);
  assert.deepEqual(await a.listener.got("/y", 1), ["after"]);
}

async function testRefusals(
  t: Deno.TestContext,
  kind: BrokerKind,
): Promise<void> {
  await using broker = await startBroker({ ...kind, tls: true });
  const vhost = "rights";
  await broker.eval(`rabbit_vhost:add(<<"${vhost}">>, <<"test">>)`);
  // What docs/bridge.md advises, in parts.
  const exchange = "^staps$";
  const queue = "^staps\\.node\\.";
  const both = "^staps($|\\.node\\.)";
  const users: [string, string, RegExp][] = [
    ["configure1", queue, /the right "configure" on the exchange "staps"/],
    ["configure2", exchange, /the right "configure" on the queue "staps.node/],
    ["write1", exchange, /the right "write" on the queue "staps.node/],
    ["write2", queue, /the right "write" on the exchange "staps"/],
    ["read1", exchange, /the right "read" on the queue "staps.node/],
    ["read2", queue, /the right "read" on the exchange "staps"/],
  ];

  async function refusal(
    amqp: string,
    options: Partial<AmqpBridgeOptions> = {},
  ): Promise<ConfigError> {
    let caught: unknown;
    try {
      await using _node = await startBridgeNode(amqp, options);
    } catch (error) {
      caught = error;
    }
    if (!(caught instanceof ConfigError)) {
      throw new Error(`Expected a ConfigError, got ${caught}`);
    }
    assert.doesNotMatch(`${caught.message} ${caught.hint}`, /s3cret/);
    assert.doesNotMatch(caught.message, /\n/);
    return caught;
  }

  for (const [user, pattern, expected] of users) {
    await t.step(`a user that lacks ${expected.source}`, async () => {
      const right = user.slice(0, -1);
      await broker.addUser(user, {
        password: "s3cret",
        vhost,
        permissions: {
          configure: both,
          write: both,
          read: both,
          [right]: pattern,
        },
      });
      const error = await refusal(
        broker.url(vhost, { user: `${user}:s3cret` }),
      );
      assert.match(error.message, expected);
      assert.match(error.message, new RegExp(`user "${user}"`));
      assert.match(error.message, /virtual host "rights"/);
    });
  }

  await t.step("a user with only the rights it needs", async () => {
    await broker.addUser("frugal", {
      password: "s3cret",
      vhost,
      permissions: { configure: both, write: both, read: both },
    });
    const url = broker.url(vhost, { user: "frugal:s3cret" });
    await using a = await startBridgeNode(url);
    await a.bridge.join("/x");
    await using b = await startBridgeNode(url);
    await b.bridge.join("/x");
    publish(b, "/x", "hello");
    await a.listener.got("/x", 1);
  });

  await t.step("a wrong password", async () => {
    const error = await refusal(broker.url("/", { user: "staps:s3cret" }));
    assert.match(
      error.message,
      /refuses user or password \(403 ACCESS_REFUSED - Login was refused/,
    );
  });

  await t.step("an empty password", async () => {
    const error = await refusal(broker.url("/", { user: "staps:" }));
    assert.match(error.message, /empty password, which RabbitMQ refuses/);
    assert.match(error.hint!, /rabbitmqctl change_password staps/);
  });

  await t.step("an unknown virtual host", async () => {
    const error = await refusal(broker.url("nowhere"));
    assert.match(
      error.message,
      /virtual host "nowhere" .* doesn't exist \(530 NOT_ALLOWED - vhost nowhere not found\)$/,
    );
  });

  await t.step("a virtual host without any right", async () => {
    await broker.addUser("outsider", { password: "s3cret" });
    const error = await refusal(
      broker.url(vhost, { user: "outsider:s3cret" }),
    );
    assert.match(
      error.message,
      /virtual host "rights".*: "outsider" has no rights in it \(530 NOT_ALLOWED - access to vhost 'rights' refused for user 'outsider'\)$/,
    );
  });

  await t.step("an exchange with other arguments", async () => {
    const taken = await broker.addVhost();
    await broker.eval(
      `rabbit_exchange:declare(rabbit_misc:r(<<"${taken}">>, exchange, <<"staps">>), ` +
        `fanout, true, false, false, [], <<"test">>), ok`,
    );
    const error = await refusal(broker.url(taken));
    assert.match(
      error.message,
      /the exchange "staps".*other arguments \(406 PRECONDITION_FAILED - inequivalent arg 'type'/,
    );
  });

  await t.step("an authority that can't be read", async () => {
    const { port } = broker.tls;
    const error = await refusal(`amqps://staps:secret@localhost:${port}/`, {
      ca: "/nowhere/ca.pem",
    });
    assert.match(error.message, /"ca" in \[bridge\]/);
  });

  const { port, tls } = broker;
  const good: [string, string, Partial<AmqpBridgeOptions>][] = [
    ["no path", `amqp://staps:secret@127.0.0.1:${port}`, {}],
    ["an empty path", `amqp://staps:secret@127.0.0.1:${port}/`, {}],
    ["%2f", `amqp://staps:secret@127.0.0.1:${port}/%2f`, {}],
    ["IPv6", `amqp://staps:secret@[::1]:${port}/`, {}],
    ["TLS by name", `amqps://staps:secret@localhost:${tls.port}/`, {
      ca: tls.ca,
    }],
    ["TLS by address", `amqps://staps:secret@127.0.0.1:${tls.port}/`, {
      ca: tls.ca,
    }],
    ["several hosts, the first one down", "amqp://staps:secret@unused/", {
      hosts: [
        { hostname: "127.0.0.1", port: freePort() },
        { hostname: "localhost", port },
      ],
    }],
  ];
  for (const [name, amqp, options] of good) {
    await t.step(`nothing: ${name}`, async () => {
      await using node = await startBridgeNode(amqp, options);
      assert.equal(node.bridge.state().connected, true);
    });
  }
}

/** The kinds to test on: Khepri only if it is asked for, as it doubles the time. */
const kinds = brokerKinds.filter((kind) =>
  kind.database === "mnesia" ||
  kindName(kind) === Deno.env.get("STAPS_BROKER")
);

for (const kind of kinds) {
  const obstacle = await whyNoBroker(kind.version);
  const on = `on RabbitMQ ${kindName(kind)}`;
  testUnless(obstacle, {
    name: `AmqpBridge, ${on}`,
    fn: (t) => testBridge(t, kind),
  });
  testUnless(obstacle, {
    name:
      `AmqpBridge finds 10,000 channels again after the broker was away, ${on}`,
    fn: () => testManyChannels(kind),
  });
  testUnless(obstacle, {
    name: `AmqpBridge goes on with the next broker of a cluster, ${on}`,
    fn: () => testCluster(kind),
  });
  testUnless(obstacle, {
    name: `AmqpBridge.start() tells what is wrong, ${on}`,
    fn: (t) => testRefusals(t, kind),
  });
}
