import assert from "node:assert/strict";
import { closes } from "../../src/relay/close.ts";
import {
  Allowance,
  limitNames,
  limitTable,
  reachedLimit,
} from "../../src/relay/limits.ts";
import { findSetting } from "../../src/settings/table.ts";
import { binary } from "../helpers/messages.ts";
import { RecordingBridge } from "../helpers/recording_bridge.ts";
import { readPage } from "../helpers/docs.ts";
import { eventually } from "../../tools/eventually.ts";
import { lacking } from "../helpers/listener.ts";
import { handshakeBytes, RawClient } from "../../tools/raw_client.ts";
import { connectStalled, startServer, testLimits } from "../helpers/server.ts";
import { testUnless } from "../helpers/skip.ts";

Deno.test("limitTable has settings of the section [limits], by their names", () => {
  for (const name of limitNames) {
    const { property } = findSetting("limits", name) ?? {};
    assert.equal(property, limitTable[name].setting, name);
  }
});

Deno.test("docs/protocol.md's table of limits says what each limit of limitTable leads to", async () => {
  const { text } = await readPage("docs/protocol.md");
  const documented = Array.from(
    text.matchAll(
      /^\| `(\w+)` +\| \d+ +\| .* with (\d+)\b/gm,
    ),
    ([, name, code]) => [name!, Number(code)] as const,
  );
  const expected = limitNames.map((name) => {
    const limit = limitTable[name];
    return [name, "close" in limit ? closes[limit.close].code : 503] as const;
  });
  assert.deepEqual(new Map(documented), new Map(expected));
});

const empty = {
  clients: 0,
  maxClients: Infinity,
  channelClients: 0,
  channels: 0,
};

Deno.test("reachedLimit() finds the limit that leaves no room for another client", () => {
  const limits = { ...testLimits, clients: 3, channelClients: 2, channels: 1 };
  const cases = [
    [undefined, {}],
    [undefined, { clients: 2, channelClients: 1 }],
    ["clients", { clients: 3 }],
    ["clients", { clients: 1, maxClients: 1 }],
    ["channel_clients", { clients: 2, channelClients: 2, channels: 1 }],
    ["channels", { clients: 2, channels: 1 }],
    [undefined, { clients: 1, channelClients: 1, channels: 1 }],
  ] as const;
  for (const [expected, node] of cases) {
    assert.equal(reachedLimit(limits, { ...empty, ...node }), expected);
  }
});

Deno.test("Allowance.spend() takes a burst of messages_per_second, and any number without that limit", () => {
  const limits = { ...testLimits, messagesPerSecond: 0 };
  const allowance = new Allowance(limits);
  for (let i = 0; i < 1000; i++) assert.equal(allowance.spend(), undefined);
  // More than come back while this loop runs.
  limits.messagesPerSecond = 3;
  const taken = Array.from({ length: 5 }, () => allowance.spend());
  assert.deepEqual(taken, [
    ...[undefined, undefined, undefined],
    ...["messages_per_second", "messages_per_second"],
  ]);
});

Deno.test("Server closes a reader for which more than client_buffer_bytes are queued, and only it", async () => {
  // Other nodes' messages wait for nobody.
  const bridge = new RecordingBridge();
  await using server = await startServer({
    bridge,
    limits: { messageBytes: 65536, clientBufferBytes: 1 << 20 },
  });
  const { metrics, channels } = server.server;
  const reader = await server.connect("/x");
  using _stalled = await connectStalled(server, "/x");
  await eventually(() => metrics.connects === 2, "the client that stalls");
  const message = binary(new Uint8Array(65536));
  for (let i = 0; i < 64; i++) {
    bridge.listener!.deliver("/x", message);
    await reader.next();
  }
  assert.equal(metrics.closes.slow, 1);
  assert.equal(metrics.limitHits.client_buffer_bytes, 1);
  assert.equal(channels.memberCount("/x"), 1);
});

const cases = [
  ["clients", { clients: 2 }, ["/a", "/b", "/c"]],
  ["channel_clients", { channelClients: 2 }, ["/a", "/a", "/a"]],
  ["channels", { channels: 2 }, ["/a", "/b", "/c"]],
] as const;
for (const [limit, limits, paths] of cases) {
  Deno.test(`Server answers 503 with Retry-After when ${limit} is reached, until somebody leaves`, async () => {
    await using server = await startServer({ limits });
    const clients = [];
    for (const path of paths.slice(0, 2)) {
      clients.push(await server.connect(path));
    }
    await assert.rejects(server.connect(paths[2]));
    assert.equal(server.server.metrics.limitHits[limit], 1);
    assert.equal(server.server.metrics.refusals[503], 1);
    clients[0]!.close();
    await eventually(() => server.server.clientCount === 1, "a leave");
    await server.connect(paths[2]);
  });
}

// Nothing told of them: neither a figure nor the log.
testUnless(lacking("fewRefusals"), {
  name:
    "Server counts whom it closes without an answer, since too many come at once",
  fn: async () => {
    await using server = await startServer({
      limits: { clients: 1 },
      maxRefused: 1,
    });
    await server.connect("/a");
    const target = { socket: server.socket };
    using told = await RawClient.connect(target);
    await eventually(() => server.server.clientCount === 2, "the other one");
    using beyond = await RawClient.connect(target);
    assert.deepEqual(await beyond.readToEnd(), []);
    const { limitHits, refusals } = server.server.metrics;
    assert.equal(refusals.none, 1);
    assert.equal(limitHits.clients, 1);
    await told.write(handshakeBytes());
    assert.equal((await told.readResponse()).status, 503);
    assert.equal(limitHits.clients, 2);
  },
});
