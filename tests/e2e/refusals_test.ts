/**
 * What a real RabbitMQ refuses, and may take back: staps names it with the
 * broker's own words, and goes on trying.
 */
import assert from "node:assert/strict";
import type { AmqpBridgeOptions } from "../../src/amqp/bridge.ts";
import { publish } from "../relay/bridge_contract.ts";
import { type Broker, startBroker } from "../helpers/broker.ts";
import { addTlsPort, makeCertificate } from "../helpers/broker_tls.ts";
import { eventually } from "../helpers/eventually.ts";
import { type BridgeNode, startBridgeNode } from "../helpers/bridge_node.ts";
import { FaultyProxy } from "../helpers/faulty_proxy.ts";
import { TempFolder } from "../helpers/folder.ts";
import { runProgram, spawnStaps } from "../helpers/process.ts";

/** Gets why a node isn't connected. */
async function problem({ bridge }: BridgeNode): Promise<string> {
  return await eventually(() => {
    assert.equal(bridge.state().connected, false);
    return bridge.state().problem;
  }, "the problem");
}

async function connected({ bridge }: BridgeNode): Promise<void> {
  await eventually(
    () => bridge.state().connected,
    () => `the connection: ${bridge.state().problem}`,
  );
}

Deno.test("AmqpBridge goes on trying where RabbitMQ's no can heal, and says what it is", async (t) => {
  await using broker = await startBroker();

  async function limit(
    kind: "vhost" | "user",
    name: string,
    limits: Record<string, number>,
  ): Promise<void> {
    const place = kind === "vhost" ? ["-p", name] : [name];
    await broker.rabbitmqctl(
      `set_${kind}_limits`,
      ...place,
      JSON.stringify(limits),
    );
  }

  async function makeUser(user: string): Promise<string> {
    await broker.addUser(user, {
      password: "secret",
      permissions: { configure: ".*", write: ".*", read: ".*" },
    });
    return broker.url("/", { user: `${user}:secret` });
  }

  const cases: {
    name: string;
    /** Makes the broker refuse, and gets the URL. */
    set: (vhost: string) => Promise<string>;
    expected: RegExp;
    heal: (vhost: string) => Promise<unknown>;
  }[] = [
    {
      name: "the virtual host's connection limit",
      set: async (vhost) => {
        await limit("vhost", vhost, { "max-connections": 0 });
        return broker.url(vhost);
      },
      expected:
        /^the virtual host "test-\d+" may have no more connections: each node needs two \(530 NOT_ALLOWED - access to vhost 'test-\d+' refused for user 'staps': connection limit \(0\) is reached\)$/,
      heal: (vhost) => limit("vhost", vhost, { "max-connections": -1 }),
    },
    {
      name: "the user's connection limit",
      set: async () => {
        const url = await makeUser("few-connections");
        await limit("user", "few-connections", { "max-connections": 0 });
        return url;
      },
      expected:
        /^the user "few-connections" may have no more connections: .* \(530 NOT_ALLOWED - connection refused for user 'few-connections': user connection limit \(0\) is reached\)$/,
      heal: () => limit("user", "few-connections", { "max-connections": -1 }),
    },
    {
      name: "the user's channel limit",
      set: async () => {
        const url = await makeUser("few-channels");
        await limit("user", "few-channels", { "max-channels": 0 });
        return url;
      },
      expected:
        /^the user "few-channels" may open no more channels: each node needs three or more \(530 NOT_ALLOWED - number of channels opened for user '[^']+' has reached the maximum allowed user limit of \(0\)\)$/,
      heal: () => limit("user", "few-channels", { "max-channels": 3 }),
    },
    {
      name: "a virtual host that is down",
      set: async (vhost) => {
        await broker.eval(
          `rabbit_vhost_sup_sup:stop_and_delete_vhost(<<"${vhost}">>)`,
        );
        return broker.url(vhost);
      },
      expected:
        /^the virtual host "test-\d+" is down \(541 INTERNAL_ERROR - access to vhost .* is down\)$/,
      heal: (vhost) => broker.rabbitmqctl("restart_vhost", "--vhost", vhost),
    },
    {
      name: "the virtual host's queue limit",
      set: async (vhost) => {
        await limit("vhost", vhost, { "max-queues": 0 });
        return broker.url(vhost);
      },
      expected:
        /^the virtual host "test-\d+" may have no more queues: each node needs one \(406 PRECONDITION_FAILED - cannot declare queue 'staps.node.\w+': queue limit in vhost .* is reached\)$/,
      heal: (vhost) => limit("vhost", vhost, { "max-queues": -1 }),
    },
    {
      name: "one channel on each connection",
      set: async (vhost) => {
        await broker.eval("application:set_env(rabbit, channel_max, 1)");
        return broker.url(vhost);
      },
      expected:
        /^the broker allows 1 channel on a connection \(channel_max\), and staps needs 2 or more$/,
      heal: () => broker.eval("application:set_env(rabbit, channel_max, 2047)"),
    },
  ];
  for (const { name, set, expected, heal } of cases) {
    await t.step(name, async () => {
      const vhost = await broker.addVhost();
      await using node = await startBridgeNode(await set(vhost));
      try {
        assert.match(await problem(node), expected);
      } finally {
        await heal(vhost);
      }
      await connected(node);
      await node.bridge.probe(5_000);
    });
  }

  await t.step("a default queue type that can't do it", async () => {
    const vhost = "streams";
    await broker.rabbitmqctl(
      ...["add_vhost", vhost, "--default-queue-type", "stream"],
    );
    await broker.permit(
      "staps",
      { configure: ".*", write: ".*", read: ".*" },
      vhost,
    );
    await using node = await startBridgeNode(broker.url(vhost));
    assert.match(
      await problem(node),
      /^the broker's queues can't do .* likely the virtual host "streams" has another default queue type .* \(406 PRECONDITION_FAILED - invalid arg .* rabbit_stream_queue\)$/,
    );
  });

  // It ended with the status 78, which systemd never tries again.
  await t.step("a process of its own keeps running, and logs it", async () => {
    const vhost = await broker.addVhost();
    await limit("vhost", vhost, { "max-connections": 0 });
    await using staps = await spawnStaps({
      config: `[staps]\namqp = ${broker.url(vhost)}\n`,
    });
    await staps.printed(/may have no more connections.*530 NOT_ALLOWED/);
    await limit("vhost", vhost, { "max-connections": -1 });
    await staps.printed(/bridge connected/);
  });
});

Deno.test("AmqpBridge makes do with few channels", async (t) => {
  await using broker = await startBroker();
  for (const channelMax of [2, 3, 6, 10]) {
    await t.step(`${channelMax} on a connection`, async () => {
      await broker.eval(
        `application:set_env(rabbit, channel_max, ${channelMax})`,
      );
      await works(broker, broker.url(await broker.addVhost()));
    });
  }
  await broker.eval("application:set_env(rabbit, channel_max, 2047)");
  await t.step("a user with five", async () => {
    await broker.addUser("few", {
      password: "secret",
      permissions: { configure: ".*", write: ".*", read: ".*" },
    });
    await broker.rabbitmqctl("set_user_limits", "few", '{"max-channels": 5}');
    await works(broker, broker.url("/", { user: "few:secret" }));
  });
});

/** Joins and leaves more channels at once than there are AMQP channels, and connects anew. */
async function works(broker: Broker, amqp: string): Promise<void> {
  await using proxy = await FaultyProxy.start(broker.port);
  await using a = await startBridgeNode(
    amqp.replace(`:${broker.port}/`, `:${proxy.port}/`),
  );
  const vhost = decodeURIComponent(amqp.split("/").at(-1)!);
  await connected(a);
  const paths = Array.from({ length: 50 }, (_, i) => `/${i}`);
  await Promise.all(paths.map((path) => a.bridge.join(path)));
  for (const path of paths.slice(25)) a.bridge.leave(path);
  // Asks for its queue, on a channel of its own.
  proxy.reset();
  await eventually(() => a.bridge.state().connects === 2, "the next link");
  await eventually(() => a.bridge.state().channels === 25, "the leaves");
  await using b = await startBridgeNode(broker.url(vhost));
  for (const path of paths.slice(0, 25)) {
    await b.bridge.join(path);
    publish(b, path, "hello");
    assert.deepEqual(await a.listener.got(path, 1), ["hello"]);
  }
  assert.deepEqual(a.listener.gaps, []);
}

Deno.test("AmqpBridge says what is wrong with TLS, and goes on trying", async (t) => {
  await using broker = await startBroker({ tls: true });
  const { ca, port } = broker.tls;
  const tls = (port: number): string =>
    `amqps://staps:secret@localhost:${port}/`;
  const minute = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d";
  const own = await makeCertificate(broker);
  await using folder = await TempFolder.make();
  const stranger = {
    cert: `${folder.path}/cert`,
    key: `${folder.path}/key`,
  };
  await runProgram("openssl", [
    ..."req -x509 -days 2 -nodes -newkey rsa:2048 -subj /CN=other".split(" "),
    ...["-keyout", stranger.key, "-out", stranger.cert],
  ]);

  const named = await addTlsPort(broker, own);
  const demand = "{verify, verify_peer}, {fail_if_no_peer_cert, true}";
  const demanding = await addTlsPort(broker, own, demand);
  const demanding12 = await addTlsPort(
    broker,
    own,
    `${demand}, {versions, ['tlsv1.2']}`,
  );
  const year = (year: number): Date => new Date(Date.UTC(year, 0));
  const expired = await addTlsPort(
    broker,
    await makeCertificate(broker, { from: year(2019), until: year(2020) }),
  );
  // As on a machine whose clock is at 1970.
  const future = await addTlsPort(
    broker,
    await makeCertificate(broker, { from: year(2048), until: year(2049) }),
  );

  const cases: [string, string, Partial<AmqpBridgeOptions>, RegExp][] = [
    [
      "amqp:// to a port for TLS",
      `amqp://staps:secret@localhost:${port}/`,
      {},
      /^port \d+ speaks TLS: it wants "amqps:\/\/" instead of "amqp:\/\/" \((read ECONNRESET|Socket closed abruptly .*)\)$/,
    ],
    [
      "amqps:// to a port without TLS",
      tls(broker.port),
      { ca },
      /^port \d+ doesn't speak TLS: likely it wants "amqp:\/\/" instead of "amqps:\/\/" \(.*InvalidContentType.*\)$/,
    ],
    [
      "an unknown authority",
      tls(port),
      {},
      new RegExp(
        `^the broker's certificate isn't trusted, and this machine's clock says ${minute}:\\d\\dZ: ` +
          `if that is right, likely "ca" in \\[bridge\\] .* \\(.*certificate.*\\)$`,
      ),
    ],
    [
      "a certificate for another name",
      `amqps://staps:secret@127.0.0.1:${named}/`,
      { ca },
      /^the broker's certificate is for another name \(.*127\.0\.0\.1.*\)$/,
    ],
    [
      "a certificate that has expired",
      tls(expired),
      { ca },
      new RegExp(
        `^the broker's certificate expired at 2020-01-01T00:00:00Z, and this machine's clock says ${minute}.*: if that is right, the broker needs a new one \\(`,
      ),
    ],
    [
      "a clock that is far off",
      tls(future),
      { ca },
      new RegExp(
        `^the broker's certificate isn't valid before 2048-01-01T00:00:00Z, and this machine's clock says ${minute}.*: likely the clock is off \\(`,
      ),
    ],
    [
      "a client certificate that is missing",
      tls(demanding),
      { ca },
      /^the broker wants a certificate of this node, "cert" and "key" in \[bridge\] \(.*CertificateRequired\)$/,
    ],
    [
      "a client certificate that is missing, TLS 1.2",
      tls(demanding12),
      { ca },
      /^the broker ends TLS: likely it wants a certificate of this node, .* \(.*HandshakeFailure\)$/,
    ],
    [
      "a client certificate that the broker doesn't trust",
      tls(demanding),
      { ca, ...stranger },
      /^the broker refuses this node's certificate, .* \(.*fatal alert.*\)$/,
    ],
  ];
  for (const [name, url, options, expected] of cases) {
    await t.step(name, async () => {
      await using node = await startBridgeNode(url, options);
      assert.match(await problem(node), expected);
    });
  }
  for (const port of [demanding, demanding12]) {
    await t.step(`nothing: a client certificate, port ${port}`, async () => {
      await using node = await startBridgeNode(tls(port), { ca, ...own });
      await connected(node);
    });
  }
});
