/**
 * What a real RabbitMQ refuses: staps names it with the broker's own words,
 * gives up where that is final, and goes on trying where it may heal.
 */
import assert from "node:assert/strict";
import { relative } from "node:path";
import type { AmqpBridgeOptions } from "../../src/amqp/bridge.ts";
import { ConfigError } from "../../src/common/errors.ts";
import {
  type Broker,
  type BrokerKind,
  kindName,
  kindsToTest,
  startBroker,
} from "../../tools/broker.ts";
import { whyNoBroker } from "../../tools/broker_programs.ts";
import { Authority, type Certificate } from "../../tools/certificates.ts";
import {
  type BridgeNode,
  connected,
  publish,
  startBridgeNode,
} from "../helpers/bridge_node.ts";
import { block } from "../helpers/docs.ts";
import { eventually } from "../../tools/eventually.ts";
import { FaultyProxy } from "../../tools/faulty_proxy.ts";
import { freePort } from "../../tools/folder.ts";
import { spawnStaps } from "../../tools/process.ts";
import { testUnless } from "../helpers/skip.ts";
import { stepsTogether } from "../helpers/steps.ts";

const everything = { configure: ".*", write: ".*", read: ".*" };
type NodeOptions = Partial<AmqpBridgeOptions>;

/** Makes a user who may do everything but what `permissions` says, and gets the URL. */
async function urlOfUser(
  broker: Broker,
  user: string,
  { vhost = "/", permissions = {} }: {
    vhost?: string;
    permissions?: Partial<typeof everything>;
  } = {},
): Promise<string> {
  await broker.addUser(user, {
    ...{ password: "s3cret", vhost },
    permissions: { ...everything, ...permissions },
  });
  return broker.url(vhost, { user: `${user}:s3cret` });
}

async function limit(
  broker: Broker,
  kind: "vhost" | "user",
  { name, ...limits }: { name: string } & Record<string, number | string>,
): Promise<void> {
  const place = kind === "vhost" ? ["-p", name] : [name];
  const json = JSON.stringify(limits);
  await broker.rabbitmqctl(`set_${kind}_limits`, ...place, json);
}

function setChannelMax(broker: Broker, count: number): Promise<string> {
  return broker.eval(`application:set_env(rabbit, channel_max, ${count})`);
}

/** Gets why a node isn't connected; its password is in none of that. */
async function problem({ bridge }: BridgeNode): Promise<string> {
  const problem = await eventually(() => {
    assert.equal(bridge.state().connected, false);
    return bridge.state().problem;
  }, "the problem");
  assert.doesNotMatch(problem, /s[e3]cret/);
  return problem;
}

/** A start that must fail for good: the URL, or what makes the broker refuse and gets it; and what is said of it. */
type Refusal = readonly [
  url: (broker: Broker) => string | Promise<string>,
  expected: RegExp,
  more?: { readonly options?: NodeOptions; readonly hint?: RegExp },
];

/** A user that lacks just one of the rights in docs/bridge.md, which are needed on the exchange and on the queue. */
function lacking(
  right: keyof typeof everything,
  object: "exchange" | "queue",
): [string, Refusal] {
  const user = `no-${right}-${object}`;
  const other = object === "exchange" ? "^staps\\.node\\." : "^staps$";
  const name = object === "exchange" ? '"staps"' : '"staps\\.node';
  return [`a user without the right to ${right} the ${object}`, [
    async (broker) => {
      const vhost = await broker.addVhost();
      const permissions = { [right]: other };
      return await urlOfUser(broker, user, { vhost, permissions });
    },
    new RegExp(
      `user "${user}" lacks the right "${right}" on the ${object} ${name}.* virtual host "test-`,
    ),
  ]];
}

const refusals: Readonly<Record<string, Refusal>> = {
  ...Object.fromEntries(
    (["configure", "write", "read"] as const).flatMap((right) => [
      lacking(right, "exchange"),
      lacking(right, "queue"),
    ]),
  ),
  "a wrong password": [
    (broker) => broker.url("/", { user: "staps:s3cret" }),
    /refuses user or password \(403 ACCESS_REFUSED - Login was refused/,
  ],
  "an empty password": [
    (broker) => broker.url("/", { user: "staps:" }),
    /empty password, which RabbitMQ refuses/,
    { hint: /rabbitmqctl change_password staps/ },
  ],
  "an unknown virtual host": [
    (broker) => broker.url("nowhere"),
    /virtual host "nowhere" .* doesn't exist \(530 NOT_ALLOWED - vhost nowhere not found\)$/,
  ],
  "a virtual host without any right": [
    async (broker) => {
      await broker.addUser("outsider", { password: "s3cret" });
      return broker.url("/", { user: "outsider:s3cret" });
    },
    /virtual host "\/".*: "outsider" has no rights in it \(530 NOT_ALLOWED - access to vhost '\/' refused for user 'outsider'\)$/,
  ],
  "an exchange with other arguments": [
    async (broker) => {
      const vhost = await broker.addVhost();
      await broker.eval(
        `rabbit_exchange:declare(rabbit_misc:r(<<"${vhost}">>, exchange, <<"staps">>), ` +
          `fanout, true, false, false, [], <<"test">>), ok`,
      );
      return broker.url(vhost);
    },
    /the exchange "staps".*other arguments \(406 PRECONDITION_FAILED - inequivalent arg 'type'/,
  ],
  "an authority that can't be read": [
    (broker) => `amqps://staps:secret@localhost:${broker.tls.port}/`,
    /"ca" in \[bridge\].*no file "\/nowhere\/ca\.pem"/,
    { options: { ca: "/nowhere/ca.pem" } },
  ],
};

async function assertRefused(
  broker: Broker,
  [url, expected, { options, hint = /^/ } = {}]: Refusal,
): Promise<void> {
  const amqp = await url(broker);
  await assert.rejects(
    async () => {
      await using _node = await startBridgeNode(amqp, options);
    },
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, expected);
      assert.doesNotMatch(error.message, /\n/);
      assert.doesNotMatch(`${error.message} ${error.hint}`, /s3cret/);
      assert.match(`${error.hint}`, hint);
      return true;
    },
  );
}

/** A refusal that is taken back: how, what is said of it, and what takes it back. */
type Illness = readonly [
  /** Makes the broker refuse, and gets the URL. */
  set: (broker: Broker, vhost: string) => Promise<string>,
  expected: RegExp,
  heal: (broker: Broker, vhost: string) => Promise<unknown>,
];

/** A limit of a virtual host, or of a user of its own. */
function ofLimit(
  kind: "vhost" | "user",
  name: "max-connections" | "max-channels" | "max-queues",
  expected: RegExp,
): Illness {
  const user = `limited-${name}`;
  const set = (broker: Broker, vhost: string, count: number): Promise<void> =>
    limit(broker, kind, {
      name: kind === "user" ? user : vhost,
      [name]: count,
    });
  return [
    async (broker, vhost) => {
      const url = kind === "user"
        ? await urlOfUser(broker, user)
        : broker.url(vhost);
      await set(broker, vhost, 0);
      return url;
    },
    expected,
    (broker, vhost) => set(broker, vhost, name === "max-channels" ? 3 : -1),
  ];
}

const illnesses: Readonly<Record<string, Illness>> = {
  "the virtual host's connection limit": ofLimit(
    ...["vhost", "max-connections"] as const,
    /^the virtual host "test-\d+" may have no more connections: each node needs two \(530 NOT_ALLOWED - access to vhost 'test-\d+' refused for user 'staps': connection limit \(0\) is reached\)$/,
  ),
  "the virtual host's queue limit": ofLimit(
    ...["vhost", "max-queues"] as const,
    /^the virtual host "test-\d+" may have no more queues: each node needs one \(406 PRECONDITION_FAILED - cannot declare queue 'staps.node.\w+': queue limit in vhost .* is reached\)$/,
  ),
  "the user's connection limit": ofLimit(
    ...["user", "max-connections"] as const,
    /^the user "limited-max-connections" may have no more connections: .* \(530 NOT_ALLOWED - connection refused for user '[^']+': user connection limit \(0\) is reached\)$/,
  ),
  "the user's channel limit": ofLimit(
    ...["user", "max-channels"] as const,
    /^the user "limited-max-channels" may open no more channels: each node needs three or more \(530 NOT_ALLOWED - number of channels opened for user '[^']+' has reached the maximum allowed user limit of \(0\)\)$/,
  ),
  "a virtual host that is down": [
    async (broker, vhost) => {
      await broker.eval(
        `rabbit_vhost_sup_sup:stop_and_delete_vhost(<<"${vhost}">>)`,
      );
      return broker.url(vhost);
    },
    /^the virtual host "test-\d+" is down \(541 INTERNAL_ERROR - access to vhost .* is down\)$/,
    (broker, vhost) => broker.rabbitmqctl("restart_vhost", "--vhost", vhost),
  ],
};

const oneChannel: Illness = [
  async (broker, vhost) => {
    await setChannelMax(broker, 1);
    return broker.url(vhost);
  },
  /^the broker allows 1 channel on a connection \(channel_max\), and staps needs 2 or more$/,
  (broker) => setChannelMax(broker, 2047),
];

async function assertHeals(
  broker: Broker,
  [set, expected, heal]: Illness,
): Promise<void> {
  const vhost = await broker.addVhost();
  await using node = await startBridgeNode(await set(broker, vhost));
  try {
    assert.match(await problem(node), expected);
  } finally {
    await heal(broker, vhost);
  }
  await connected(node);
}

async function testQueueType(broker: Broker): Promise<void> {
  const vhost = "streams";
  await broker.rabbitmqctl(
    ...["add_vhost", vhost, "--default-queue-type", "stream"],
  );
  await broker.permit("staps", everything, vhost);
  await using node = await startBridgeNode(broker.url(vhost));
  assert.match(
    await problem(node),
    /^the broker's queues can't do .* likely the virtual host "streams" has another default queue type .* \(406 PRECONDITION_FAILED - invalid arg .* rabbit_stream_queue\)$/,
  );
}

// It ended with the status 78, which systemd never tries again.
async function testProcess(broker: Broker): Promise<void> {
  const name = await broker.addVhost();
  await limit(broker, "vhost", { name, "max-connections": 0 });
  await using staps = await spawnStaps({
    config: `[staps]\namqp = ${broker.url(name)}\n`,
  });
  await staps.printed(/may have no more connections.*530 NOT_ALLOWED/);
  await limit(broker, "vhost", { name, "max-connections": -1 });
  await staps.printed(/bridge connected/);
}

/** Joins and leaves more channels at once than there are AMQP channels, and connects anew. */
async function makeDo(broker: Broker, amqp: string): Promise<void> {
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

/** Makes the broker listen on another port with TLS, and gets that. `options` are Erlang's, after the files. */
async function addTlsPort(
  broker: Broker,
  { certFile, keyFile }: Certificate,
  options = "",
): Promise<number> {
  const port = freePort();
  const { authority } = broker.tls;
  // The broker may know its folder by another name.
  const inside = (file: string): string =>
    `filename:join(Folder, "${relative(authority.folder.path, file)}")`;
  await broker.eval(
    `{ok, Own} = application:get_env(rabbit, ssl_options), ` +
      `Folder = filename:dirname(proplists:get_value(cacertfile, Own)), ` +
      `rabbit_networking:start_ssl_listener({"127.0.0.1", ${port}}, ` +
      `[{cacertfile, ${inside(authority.file)}}, ` +
      `{certfile, ${inside(certFile)}}, {keyfile, ${
        inside(keyFile)
      }}${options}], 1)`,
  );
  return port;
}

/** What is wrong with TLS on a connection, and then nothing. */
async function testTls(t: Deno.TestContext, broker: Broker): Promise<void> {
  const { authority, ca, port } = broker.tls;
  const tls = (port: number, host = "localhost"): string =>
    `amqps://staps:secret@${host}:${port}/`;
  const clock = "this machine's clock says \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d";
  await using others = await Authority.make();
  const filesOf = ({ certFile: cert, keyFile: key }: Certificate) => ({
    ...{ cert, key },
  });
  const stranger = filesOf(await others.certify());
  const named = await authority.certify({ names: "DNS:localhost" });
  const demand = ", {verify, verify_peer}, {fail_if_no_peer_cert, true}";
  const tls12 = ", {versions, ['tlsv1.2']}";
  const namedPort = await addTlsPort(broker, named);
  const demanding = await addTlsPort(broker, named, demand);
  const demanding12 = await addTlsPort(broker, named, demand + tls12);
  const valid = async (from: number, until: number): Promise<number> =>
    addTlsPort(
      broker,
      await authority.certify({
        ...{ from: `${from}0101000000Z`, until: `${until}0101000000Z` },
      }),
    );
  const expired = await valid(2019, 2020);
  // As on a machine whose clock is at 1970.
  const future = await valid(2048, 2049);

  const wrong: Record<string, [string, NodeOptions, RegExp]> = {
    "amqp:// to a port for TLS": [
      `amqp://staps:secret@localhost:${port}/`,
      {},
      /^port \d+ speaks TLS: it wants "amqps:\/\/" instead of "amqp:\/\/" \((read ECONNRESET|Socket closed abruptly .*)\)$/,
    ],
    "amqps:// to a port without TLS": [
      tls(broker.port),
      { ca },
      /^port \d+ doesn't speak TLS: likely it wants "amqp:\/\/" instead of "amqps:\/\/" \(.*InvalidContentType.*\)$/,
    ],
    "an unknown authority": [
      tls(port),
      {},
      new RegExp(
        `^the broker's certificate isn't trusted, and ${clock}:\\d\\dZ: ` +
          `if that is right, likely "ca" in \\[bridge\\] .* \\(.*certificate.*\\)$`,
      ),
    ],
    "an authority that didn't sign it": [
      tls(port),
      { ca: others.file },
      /^the broker's certificate isn't trusted, .* \(.*certificate.*\)$/,
    ],
    "a certificate for another name": [
      tls(namedPort, "127.0.0.1"),
      { ca },
      /^the broker's certificate is for another name \(.*127\.0\.0\.1.*\)$/,
    ],
    "a certificate that has expired": [
      tls(expired),
      { ca },
      new RegExp(
        `^the broker's certificate expired at 2020-01-01T00:00:00Z, and ${clock}.*: if that is right, the broker needs a new one \\(`,
      ),
    ],
    "a clock that is far off": [
      tls(future),
      { ca },
      new RegExp(
        `^the broker's certificate isn't valid before 2048-01-01T00:00:00Z, and ${clock}.*: likely the clock is off \\(`,
      ),
    ],
    "a client certificate that is missing": [
      tls(demanding),
      { ca },
      /^the broker wants a certificate of this node, "cert" and "key" in \[bridge\] \(.*CertificateRequired\)$/,
    ],
    "a client certificate that is missing, TLS 1.2": [
      tls(demanding12),
      { ca },
      /^the broker ends TLS: likely it wants a certificate of this node, .* \(.*HandshakeFailure\)$/,
    ],
    "a client certificate that the broker doesn't trust": [
      tls(demanding),
      { ca, ...stranger },
      /^the broker refuses this node's certificate, .* \(.*fatal alert.*\)$/,
    ],
  };
  for (const [name, [url, options, expected]] of Object.entries(wrong)) {
    await t.step(name, async () => {
      await using node = await startBridgeNode(url, options);
      assert.match(await problem(node), expected);
    });
  }

  const hosts = [
    { hostname: "127.0.0.1", port: freePort() },
    { hostname: "localhost", port: broker.port },
  ];
  const own = { ca, ...filesOf(named) };
  const right: Record<string, [string, NodeOptions]> = {
    "TLS by name": [tls(port), { ca }],
    "TLS by address": [tls(port, "127.0.0.1"), { ca }],
    "a client certificate": [tls(demanding), own],
    "a client certificate, TLS 1.2": [tls(demanding12), own],
    "IPv6": [`amqp://staps:secret@[::1]:${broker.port}/`, {}],
    "several hosts, the first one down": ["amqp://staps:secret@unused/", {
      hosts,
    }],
  };
  for (const [name, [url, options]] of Object.entries(right)) {
    await t.step(`nothing: ${name}`, async () => {
      await using node = await startBridgeNode(url, options);
      await connected(node);
    });
  }
}

/** Follows docs/bridge.md: the last step, as it changes the tests' own user. */
async function testRights(broker: Broker): Promise<void> {
  const lines = (await block("docs/bridge.md", "rights")).trim().split("\n");
  for (const line of lines) {
    // The words as a shell reads them.
    const [program, ...args] = Array.from(
      line.matchAll(/'([^']*)'|(\S+)/g),
      ([, quoted, plain]) => quoted ?? plain!,
    );
    assert.equal(program, "rabbitmqctl");
    // There is a user of that name already.
    if (args[0] === "add_user") args[0] = "change_password";
    await broker.rabbitmqctl(...args);
  }
  const url = broker.url("staps", { user: "staps:PASSWORD" });
  {
    await using a = await startBridgeNode(url);
    await a.bridge.join("/x");
    await using b = await startBridgeNode(url);
    await b.bridge.join("/x");
    publish(b, "/x", "hello");
    assert.deepEqual(await a.listener.got("/x", 1), ["hello"]);
    for (const { bridge } of [a, b]) bridge.leave("/x");
  }
  const queues = await broker.rabbitmqctl("list_queues", "--vhost", "staps");
  assert.doesNotMatch(queues, /staps\.node/);
}

/** Whether `broker` took the configuration of docs/bridge.md, `advanced` and the rest. */
async function testConfiguration(
  broker: Broker,
  advanced: string,
): Promise<void> {
  const [, ticktime] = /net_ticktime, (\d+)/.exec(advanced)!;
  assert.equal(await broker.eval("net_kernel:get_net_ticktime()"), ticktime);
  const handling = "application:get_env(rabbit, cluster_partition_handling)";
  assert.equal(await broker.eval(handling), "{ok, autoheal}");
}

async function testRefusals(
  t: Deno.TestContext,
  kind: BrokerKind,
): Promise<void> {
  const advanced = await block("docs/bridge.md", "advanced.config");
  await using broker = await startBroker({
    ...{ ...kind, tls: true, advanced },
    config: await block("docs/bridge.md", "rabbitmq.conf"),
  });
  const steps: Record<string, () => Promise<void>> = {};
  for (const [name, refusal] of Object.entries(refusals)) {
    steps[`start() gives up and names ${name}`] = () =>
      assertRefused(broker, refusal);
  }
  for (const [name, illness] of Object.entries(illnesses)) {
    steps[`goes on trying and names ${name}`] = () =>
      assertHeals(broker, illness);
  }
  await stepsTogether(t, {
    ...steps,
    "goes on trying and names a default queue type that can't do it": () =>
      testQueueType(broker),
    "a process of its own keeps running, and logs it": () =>
      testProcess(broker),
  });
  await t.step(
    "goes on trying and names one channel on each connection",
    () => assertHeals(broker, oneChannel),
  );
  for (const channelMax of [2, 3, 6, 10]) {
    await t.step(`makes do with ${channelMax} on a connection`, async () => {
      await setChannelMax(broker, channelMax);
      await makeDo(broker, broker.url(await broker.addVhost()));
    });
  }
  await setChannelMax(broker, 2047);
  await t.step("makes do with five for its user", async () => {
    const vhost = await broker.addVhost();
    const url = await urlOfUser(broker, "few", { vhost });
    await limit(broker, "user", { name: "few", "max-channels": 5 });
    await makeDo(broker, url);
  });
  await t.step("says what is wrong with TLS", (t) => testTls(t, broker));
  await t.step(
    "docs/bridge.md: the broker takes its configuration",
    () => testConfiguration(broker, advanced),
  );
  await t.step(
    "docs/bridge.md: the rights are enough",
    () => testRights(broker),
  );
}

for (const kind of kindsToTest) {
  testUnless(await whyNoBroker(kind.version), {
    name: `AmqpBridge says what RabbitMQ ${kindName(kind)} refuses`,
    fn: (t) => testRefusals(t, kind),
  });
}
