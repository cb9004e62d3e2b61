/** The bridge against a real RabbitMQ: messages, joins, losses. What a broker refuses is in refusals_test.ts. */
import assert from "node:assert/strict";
import type { AmqpBridgeOptions } from "../../src/amqp/bridge.ts";
import { BridgeUnavailableError } from "../../src/relay/bridge.ts";
import { channelKey } from "../../src/relay/channel_hash.ts";
import {
  type Broker,
  type BrokerKind,
  kindName,
  kindsToTest,
  startBroker,
} from "../../tools/broker.ts";
import {
  type BridgeNode,
  connected,
  publish,
  startBridgeNode,
} from "../helpers/bridge_node.ts";
import { whyNoBroker } from "../../tools/broker_programs.ts";
import { eventually, pause, within } from "../../tools/eventually.ts";
import { FaultyProxy } from "../../tools/faulty_proxy.ts";
import {
  encodeProperties,
  ForeignNode,
  nestedHeaders,
} from "../helpers/foreign_node.ts";
import { testUnless } from "../helpers/skip.ts";
import { stepsTogether } from "../helpers/steps.ts";
import { keepUnroutable } from "../helpers/unroutable.ts";

const KiB = 1024;
const everything = { configure: ".*", write: ".*", read: ".*" };

type NodeOptions = Partial<AmqpBridgeOptions> & {
  /** The channels that it joins. */
  readonly paths?: readonly string[];
};

/** A vhost of one scenario's own, and the nodes there, which end with it. */
class Place implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();

  constructor(readonly broker: Broker, readonly vhost: string) {}

  /** Starts a node. */
  async node(
    { paths = [], ...options }: NodeOptions = {},
    port = this.broker.port,
  ): Promise<BridgeNode> {
    const amqp = this.broker.url(this.vhost, { port });
    const node = this.#stack.use(await startBridgeNode(amqp, options));
    for (const path of paths) await node.bridge.join(path);
    return node;
  }

  /** Starts two nodes. */
  async two(options: NodeOptions = {}): Promise<[BridgeNode, BridgeNode]> {
    return [await this.node(options), await this.node(options)];
  }

  /** Starts a node with a network of its own. */
  async farNode(options: NodeOptions = {}): Promise<[BridgeNode, FaultyProxy]> {
    const proxy = this.#stack.use(await FaultyProxy.start(this.broker.port));
    return [await this.node(options, proxy.port), proxy];
  }

  /** Gets the names of the nodes' queues. */
  async queues(): Promise<string[]> {
    const text = await this.broker.eval(
      `[binary_to_list(element(4, amqqueue:get_name(Q))) || ` +
        `Q <- rabbit_amqqueue:list(<<"${this.vhost}">>)]`,
    );
    return text.match(/staps\.node\.[0-9a-f.]+/g) ?? [];
  }

  /** Waits until so many queues are bound for the channel `path`. */
  async bound(path: string, count: number): Promise<void> {
    let got: number | undefined;
    await eventually(
      async () => (got = await this.bindings(path)) === count,
      () => `${count} bindings, got ${got}`,
    );
  }

  /** Gets the number of queues that are bound for the channel `path`. */
  async bindings(path: string): Promise<number> {
    return Number(
      await this.broker.eval(
        `length([B || B <- rabbit_binding:list(<<"${this.vhost}">>), ` +
          `element(3, B) =:= <<"${channelKey(path)}">>])`,
      ),
    );
  }

  /** Gets the Erlang for something in the vhost. */
  resource(kind: "exchange" | "queue", name: string): string {
    return `rabbit_misc:r(<<"${this.vhost}">>, ${kind}, <<"${name}">>)`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

async function disconnected({ bridge }: BridgeNode): Promise<void> {
  await eventually(() => !bridge.state().connected, "the loss of connection");
}

/** Resolves when the bridge has had another connection than its first. */
async function reconnected({ bridge }: BridgeNode): Promise<void> {
  await eventually(() => bridge.state().connects > 1, "another connection");
}

/** Takes a node's network away, until the proxy heals. */
async function cutOff(node: BridgeNode, proxy: FaultyProxy): Promise<void> {
  proxy.blackHole();
  proxy.reset();
  await disconnected(node);
}

/** Resolves when the broker has everything that was published. */
async function settled({ bridge }: BridgeNode): Promise<void> {
  await eventually(
    () => bridge.state().outboxMessages === 0,
    "everything to be confirmed",
  );
}

/** Resolves when the clients of just these channels were told that they may have missed something, each once. */
async function told(
  { listener: { gaps } }: BridgeNode,
  ...paths: string[]
): Promise<void> {
  await eventually(
    () => gaps.length >= paths.length,
    () => `gaps in ${paths}, got ${gaps}`,
  );
  assert.deepEqual([...gaps].sort(), paths.sort());
}

/** Resolves when the last message that came in the channel is `content`. */
async function heard(
  { listener }: BridgeNode,
  path: string,
  content: string,
): Promise<void> {
  await eventually(() => listener.messages(path).at(-1) === content, content);
}

/** What happens in a vhost of its own, by what it shows. */
type Scenarios = Record<string, (place: Place) => Promise<void>>;

/** What keeps processors busy, changes the whole broker or is about pace: one after the other. */
const alone: Scenarios = {
  "publish() keeps kind, bytes and order": async (place) => {
    const path = "/" + "long/".repeat(800);
    const [a, b] = await place.two({ paths: [path] });
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
      new Uint8Array([0, 255, 128]),
    ];
    for (const content of sent) publish(a, path, content);
    const got = await b.listener.got(path, sent.length);
    for (const [i, content] of sent.entries()) {
      assert.deepEqual(got[i], content);
    }
    assert.deepEqual(a.listener.delivered, []);
  },

  "a memory alarm holds up messages, and neither joins nor leaves": async (
    place,
  ) => {
    const [a, b] = await place.two({ paths: ["/alarm"] });
    await place.broker.memoryAlarm(true);
    try {
      publish(a, "/alarm", "held up");
      await eventually(() => a.bridge.state().blocked, "the block");
      publish(a, "/alarm", "held up too");
      assert.ok(a.bridge.state().outboxMessages > 0);
      await b.bridge.join("/during");
      assert.equal(await place.bindings("/during"), 1);
      b.bridge.leave("/during");
      await place.bound("/during", 0);
    } finally {
      await place.broker.memoryAlarm(false);
    }
    const got = await b.listener.got("/alarm", 2);
    assert.equal(a.bridge.state().blocked, undefined);
    assert.deepEqual(got, ["held up", "held up too"]);
  },

  "who misses a message is told when its queue has one that can't be read":
    async (place) => {
      const [a, b] = await place.two({ paths: ["/unreadable"] });
      // The library's decoder can go less than 6,000 deep. RabbitMQ 4.0 takes a
      // second for it, and four times as long for twice as deep: where that is
      // more than the heartbeat, the message comes again and again.
      using foreign = await ForeignNode.connect({
        ...{ port: place.broker.port, vhost: place.vhost },
        ...{ user: "staps", password: "secret" },
      });
      await foreign.publish([{
        ...{ exchange: "staps", key: channelKey("/unreadable") },
        properties: encodeProperties({ headers: nestedHeaders(6_500) }),
        body: new Uint8Array(),
      }]);
      for (const node of [a, b]) {
        await told(node, "/unreadable");
        await connected(node);
        // It didn't come a second time.
        assert.equal(node.bridge.state().connects, 2);
      }
      publish(a, "/unreadable", "works again");
      await b.listener.got("/unreadable", 1);
      assert.equal((await place.queues()).length, 2);
    },

  "… when a message is larger than the broker takes": async (place) => {
    await place.broker.maxMessageSize(100_000);
    try {
      const [a, b] = await place.two({ paths: ["/big"] });
      publish(a, "/big", "before");
      publish(a, "/big", "x".repeat(200_000));
      publish(a, "/big", "after");
      assert.deepEqual(await b.listener.got("/big", 2), ["before", "after"]);
      await told(b, "/big");
    } finally {
      await place.broker.maxMessageSize();
    }
  },

  "… when the broker takes less than a batch, and it was away: once": async (
    place,
  ) => {
    await place.broker.maxMessageSize(16 * KiB);
    try {
      const [a, proxy] = await place.farNode({ paths: ["/s"] });
      const b = await place.node({ paths: ["/s"] });
      const before = a.bridge.state().connects;
      await cutOff(a, proxy);
      for (let i = 0; i < 10_000; i++) publish(a, "/s", `${i}`.padEnd(100));
      proxy.heal();
      await connected(a);
      await settled(a);
      await told(b, "/s");
      // One to be refused, one to go on.
      assert.equal(a.bridge.state().connects, before + 2);
      publish(a, "/s", "after");
      await heard(b, "/s", "after");
    } finally {
      await place.broker.maxMessageSize();
    }
  },

  "… when its queue is full": async (place) => {
    const options = {
      paths: ["/full", "/fresh", "/quiet"],
      queueBytes: 64 * KiB,
    };
    const [cut, proxy] = await place.farNode(options);
    const [a, c] = await place.two(options);
    for (const path of ["/full", "/quiet"]) publish(a, path, "before");
    await cut.listener.got("/full", 1);
    await cutOff(cut, proxy);
    publish(a, "/quiet", "kept");
    for (let i = 0; i < 200; i++) publish(a, "/full", "x".repeat(KiB));
    // Its first messages are lost: no number tells that there were any.
    for (let i = 0; i < 3; i++) publish(a, "/fresh", "y".repeat(2 * KiB));
    await c.listener.got("/fresh", 3);
    await eventually(() => a.bridge.state().rejected > 3, "the rejections");
    // The network stays bad for a while, so notices are rejected, too.
    await pause(3_000);
    await c.bridge.join("/newcomer");
    proxy.heal();
    // What got into the queue between two losses makes two of them: each is told.
    const whoWasTold = () => [...new Set(cut.listener.gaps)].sort();
    await eventually(() => whoWasTold().length === 2, "both to be told");
    for (const path of ["/fresh", "/full"]) {
      publish(a, path, "last");
      await heard(cut, path, "last");
    }
    await pause(2_500);
    assert.deepEqual(whoWasTold(), ["/fresh", "/full"]);
    assert.deepEqual(cut.listener.messages("/quiet"), ["before", "kept"]);
    assert.equal(c.listener.messages("/full").length, 202);
    for (const { listener } of [a, c]) assert.deepEqual(listener.gaps, []);
  },
};

/** What waits most of the time: all at the same time. */
const together: Scenarios = {
  "different exchanges don't hear each other": async (place) => {
    const a = await place.node({ paths: ["/both"] });
    const b = await place.node({ paths: ["/both"], exchange: "staps2" });
    for (const node of [a, b]) publish(node, "/both", "for nobody");
    for (const node of [a, b]) await node.bridge.probe(30_000);
    for (const { listener } of [a, b]) assert.deepEqual(listener.delivered, []);
  },

  "close() deletes the queue, and one that is abandoned expires": async (
    place,
  ) => {
    const [, proxy] = await place.farNode({ queueExpiresS: 5 });
    const b = await place.node();
    assert.equal((await place.queues()).length, 2);
    await b.bridge.close();
    await b.bridge.close();
    b.bridge.leave("/never-joined");
    assert.equal((await place.queues()).length, 1);
    // As if the process had been killed: nothing is said any more.
    await proxy[Symbol.asyncDispose]();
    await eventually(
      async () => (await place.queues()).length === 0,
      "the abandoned queue to expire",
    );
  },

  "close() ends in time whatever the network does": async (place) => {
    const [node, proxy] = await place.farNode();
    proxy.blackHole();
    await within(node.bridge.close(), "close()");
  },

  "join() resolves while the broker is away, where on_outage is local, and takes effect later":
    async (place) => {
      const [a, proxy] = await place.farNode();
      const b = await place.node();
      await cutOff(a, proxy);
      await a.bridge.join("/later");
      await b.bridge.join("/later");
      publish(a, "/later", "from the outbox");
      proxy.heal();
      await b.listener.got("/later", 1);
      await place.bound("/later", 2);
      publish(b, "/later", "and back");
      await a.listener.got("/later", 1);
      assert.deepEqual(a.listener.gaps, []);
    },

  "join() rejects where on_outage is refuse: after its time where the broker is silent, at once where it can't be reached":
    async (place) => {
      const [a, proxy] = await place.farNode({
        ...{ onOutage: "refuse", joinTimeoutS: 1, heartbeatS: 30 },
      });
      proxy.blackHole();
      await assert.rejects(a.bridge.join("/now"), BridgeUnavailableError);
      proxy.heal();
      const left = (): boolean => a.bridge.state().channels === 0;
      await eventually(left, "the join to be taken back");
      assert.equal(await place.bindings("/now"), 0);
      await cutOff(a, proxy);
      await assert.rejects(a.bridge.join("/now"), BridgeUnavailableError);
      assert.ok(left());
      await assert.rejects(a.bridge.probe(100), /can't be reached/);
    },

  "who misses a message is told when the outbox is full": async (place) => {
    const paths = ["/full", "/quiet"];
    const [a, proxy] = await place.farNode({ paths, outboxBytes: 64 * KiB });
    const b = await place.node({ paths });
    const overflow = async (): Promise<void> => {
      await cutOff(a, proxy);
      publish(a, "/quiet", "fits");
      for (let i = 0; i < 100; i++) publish(a, "/full", "x".repeat(KiB));
    };
    await overflow();
    // Clients here are told once an outage.
    assert.deepEqual(a.listener.gaps, ["/full"]);
    const { dropped } = a.bridge.state();
    assert.ok(dropped > 0);
    proxy.heal();
    // The loss is at the end: only a notice can tell.
    await told(b, "/full");
    assert.equal(b.listener.messages("/full").length, 100 - dropped);
    await settled(a);
    for (const path of paths) publish(a, path, "again");
    await b.listener.got("/full", 101 - dropped);
    assert.deepEqual(await b.listener.got("/quiet", 2), ["fits", "again"]);
    assert.deepEqual(b.listener.gaps, ["/full"]);

    // The next outage begins before the bridge has looked whether this one is
    // over: nobody here was told of its losses.
    await settled(a);
    await overflow();
    assert.deepEqual(a.listener.gaps, ["/full", "/full"]);
    proxy.heal();
    await settled(a);
  },

  "… when its queue was full, and the sender ends at once": async (place) => {
    const a = await place.node({ paths: ["/end"] });
    const b = await place.node({ paths: ["/end"], queueBytes: 64 * KiB });
    publish(a, "/end", "larger than the queue".padEnd(65 * KiB));
    await eventually(() => a.bridge.state().rejected > 0, "the rejection");
    await a.bridge.close();
    await told(b, "/end");
  },

  "… when its queue was deleted": async (place) => {
    const [a, b] = await place.two({ paths: ["/gone"] });
    await a.bridge.join("/also");
    await place.broker.deleteQueues(place.vhost);
    await told(a, "/also", "/gone");
    await told(b, "/gone");
    for (const node of [a, b]) await connected(node);
    publish(a, "/gone", "works again");
    await b.listener.got("/gone", 1);
  },

  "… when its queue was deleted, and it takes several tries to make another":
    async (place) => {
      const a = await place.node({ paths: ["/gone"] });
      const permit = (configure: string): Promise<void> =>
        place.broker.permit("staps", { ...everything, configure }, place.vhost);
      await permit("^staps$");
      await place.broker.deleteQueues(place.vhost);
      await eventually(
        () => /lacks the right "configure"/.test(a.bridge.state().problem!),
        "the refusal",
      );
      assert.deepEqual(a.listener.gaps, []);
      await permit(".*");
      await connected(a);
      await told(a, "/gone");
    },

  "… when it was away for longer than its queue": async (place) => {
    const [cut, proxy] = await place.farNode({
      ...{ paths: ["/away"], queueExpiresS: 5 },
    });
    const a = await place.node({ paths: ["/away"] });
    await cutOff(cut, proxy);
    await cut.bridge.join("/during");
    await eventually(
      async () => (await place.queues()).length === 1,
      "the queue to expire",
    );
    publish(a, "/away", "missed");
    assert.deepEqual(cut.listener.gaps, []);
    proxy.heal();
    await told(cut, "/away");
    assert.deepEqual(a.listener.gaps, []);
    publish(a, "/away", "works again");
    assert.deepEqual(await cut.listener.got("/away", 1), ["works again"]);
  },

  "… when the only message of a sender vanished from its queue": async (
    place,
  ) => {
    const [cut, proxy] = await place.farNode({ paths: ["/silent"] });
    const [name] = await place.queues();
    const [a, b] = await place.two({ paths: ["/silent"] });
    // They have told each other that nobody sent anything yet.
    await pause(2_000);
    await cutOff(cut, proxy);
    publish(a, "/silent", "missed");
    await b.listener.got("/silent", 1);
    await settled(a);
    await place.broker.eval(
      `{ok, Q} = rabbit_amqqueue:lookup(${place.resource("queue", name!)}), ` +
        `rabbit_amqqueue:purge(Q), ok`,
    );
    proxy.heal();
    await told(cut, "/silent");
    assert.deepEqual(cut.listener.messages("/silent"), []);
    assert.deepEqual(b.listener.gaps, []);
  },

  "… when the broker lost a binding, as it was killed right after it": async (
    place,
  ) => {
    const [cut, proxy] = await place.farNode({ paths: ["/kept", "/lost"] });
    const [name] = await place.queues();
    const a = await place.node({ paths: ["/kept", "/lost"] });
    await place.broker.eval(
      `rabbit_binding:remove({binding, ${
        place.resource("exchange", "staps")
      }, ` +
        `<<"${channelKey("/lost")}">>, ${
          place.resource("queue", name!)
        }, []}, ` +
        `fun (_, _) -> ok end, <<"test">>), ok`,
    );
    assert.equal(await place.bindings("/lost"), 1);
    publish(a, "/lost", "missed");
    proxy.reset();
    await told(cut, "/lost");
    assert.ok(cut.bridge.state().connects > 1);
    for (const path of ["/kept", "/lost"]) {
      publish(a, path, "as ever");
      assert.deepEqual(await cut.listener.got(path, 1), ["as ever"]);
    }
    await told(cut, "/lost");
    assert.deepEqual(a.listener.gaps, []);
  },

  // It stayed deaf for this channel, and nobody was told.
  "… when it came back to a channel, and then what it said on a lost connection ended that":
    async (place) => {
      const [cut, proxy] = await place.farNode({ paths: ["/back"] });
      const a = await place.node({ paths: ["/back"] });
      // The broker gets it long after the node took its connection for lost.
      proxy.delay(4_000);
      cut.bridge.leave("/back");
      await pause(100);
      proxy.halfOpen();
      proxy.delay(0);
      await disconnected(cut);
      await cut.bridge.join("/back");
      await reconnected(cut);
      await place.bound("/back", 2);
      await place.bound("/back", 1);
      publish(a, "/back", "missed");
      await told(cut, "/back");
      assert.equal(await place.bindings("/back"), 2);
      publish(a, "/back", "works again");
      assert.deepEqual(await cut.listener.got("/back", 1), ["works again"]);
    },

  "… not when it was out of the channel, and finds what waited for it before":
    async (place) => {
      const [cut, proxy] = await place.farNode({ paths: ["/again"] });
      const a = await place.node({ paths: ["/again"] });
      // The broker takes the dead connection for the queue's consumer, so
      // that messages wait, while binding works.
      proxy.halfOpen();
      await reconnected(cut);
      publish(a, "/again", "before");
      await settled(a);
      cut.bridge.leave("/again");
      await eventually(() => cut.bridge.state().channels === 0, "the unbind");
      publish(a, "/again", "meanwhile");
      await settled(a);
      await cut.bridge.join("/again");
      publish(a, "/again", "after");
      const [last] = (await cut.listener.got("/again", 2)).slice(-1);
      assert.equal(last, "after");
      assert.deepEqual(cut.listener.gaps, []);
    },

  "… not where on_gap is continue": async (place) => {
    const a = await place.node({ paths: ["/gone"], onGap: "continue" });
    await place.broker.deleteQueues(place.vhost);
    await eventually(() => a.bridge.state().gaps > 0, "the gap");
    assert.deepEqual(a.listener.gaps, []);
  },
};

/** Ways to lose every binding of a vhost's nodes, as Erlang. */
const removals: Readonly<Record<string, (exchange: string) => string>> = {
  "the exchange was deleted": (exchange) =>
    `rabbit_exchange:delete(${exchange}, false, <<"test">>), ok`,
  "all bindings were removed": (exchange) =>
    `[rabbit_binding:remove(B, <<"test">>) || ` +
    `B <- rabbit_binding:list_for_source(${exchange})], ok`,
};

for (const [what, removal] of Object.entries(removals)) {
  const run = async (place: Place): Promise<void> => {
    const [a, b] = await place.two({ paths: ["/gone"] });
    await place.broker.eval(removal(place.resource("exchange", "staps")));
    // Somebody talks all the while.
    const talking = setInterval(() => publish(a, "/gone", "?"), 50);
    try {
      for (const node of [a, b]) {
        await told(node, "/gone");
        await connected(node);
      }
    } finally {
      clearInterval(talking);
    }
    publish(a, "/gone", "works again");
    await heard(b, "/gone", "works again");
  };
  together[`… when ${what}`] = run;
  together[
    `… when ${what}, and an alternate exchange takes what has nowhere to go`
  ] = async (place) => {
    await keepUnroutable(place.broker, place.vhost);
    await run(place);
  };
}

async function testBridge(
  t: Deno.TestContext,
  kind: BrokerKind,
): Promise<void> {
  await using broker = await startBroker(kind);
  const version = await broker.eval("rabbit_misc:version()");
  assert.ok(version.startsWith(`"${kind.version}.`), version);
  if (kind.version === "4.0") {
    const isKhepri = await broker.eval("rabbit_khepri:is_enabled()");
    assert.equal(isKhepri, `${kind.database === "khepri"}`);
  }
  const inPlaces = (
    scenarios: Scenarios,
  ): Record<string, () => Promise<void>> =>
    Object.fromEntries(
      Object.entries(scenarios).map(([name, run]) => [name, async () => {
        await using place = new Place(broker, await broker.addVhost());
        await run(place);
      }]),
    );
  for (const [name, run] of Object.entries(inPlaces(alone))) {
    await t.step(name, run);
  }
  await stepsTogether(t, inPlaces(together));
  await t.step(
    "finds 10,000 channels again after the broker was away",
    () => testManyChannels(broker),
  );
}

async function testManyChannels(broker: Broker): Promise<void> {
  await using place = new Place(broker, "/");
  const [a, b] = await place.two();
  const paths = Array.from({ length: 10_000 }, (_, i) => `/${i}`);
  await Promise.all(paths.map((path) => a.bridge.join(path)));
  await broker.kill();
  await disconnected(a);
  // Those that began meanwhile have to be joined later.
  await a.bridge.join("/10000");
  a.bridge.leave("/9999");
  await broker.start();
  await connected(a);
  await connected(b);
  await eventually(() => a.bridge.state().joinsWaiting === 0, "the joins");
  for (const path of ["/0", "/5000", "/10000"]) {
    await b.bridge.join(path);
    publish(b, path, "hello");
    assert.deepEqual(await a.listener.got(path, 1), ["hello"]);
  }
  assert.equal(await place.bindings("/9999"), 0);
  // A broker that is killed may forget the newest bindings, and that is told.
  const forgotten = a.listener.gaps.splice(0);
  assert.ok(forgotten.length < 5_000, `${forgotten.length}`);

  // Now with everything forgotten: every channel is told, and works again.
  await broker.kill();
  await broker.forget();
  await broker.start();
  await broker.setUp();
  await eventually(
    () => a.listener.gaps.length >= 10_000,
    () => `10,000 gaps, got ${a.listener.gaps.length}`,
    { timeoutMs: 120_000 },
  );
  await connected(b);
  publish(b, "/5000", "again");
  await a.listener.got("/5000", 2);
  assert.equal(new Set(a.listener.gaps).size, 10_000);
}

for (const kind of kindsToTest) {
  testUnless(await whyNoBroker(kind.version), {
    name: `AmqpBridge, on RabbitMQ ${kindName(kind)}`,
    fn: (t) => testBridge(t, kind),
  });
}
