import assert from "node:assert/strict";
import { Admin } from "../../src/admin/server.ts";
import type { Status } from "../../src/admin/status.ts";
import { figures } from "../../src/admin/figures.ts";
import { type Bridge, NoBridge } from "../../src/relay/bridge.ts";
import { StartupError } from "../../src/common/errors.ts";
import { version } from "../../src/common/version.ts";
import { ask, readSamples } from "../helpers/admin.ts";
import { eventually } from "../../tools/eventually.ts";
import { startServer, type TestServer } from "../helpers/server.ts";
import { StubBridge } from "../helpers/stub_bridge.ts";

const path = "/c0ffee00-2222-4333-8444-555555555555";

/** A server and its admin socket. */
interface TestAdmin extends TestServer {
  readonly adminSocket: string;
  ask(path: string, method?: string): ReturnType<typeof ask>;
  /** Checks samples of /metrics: each is the number, or above 0. */
  has(expected: Record<string, number | "some">): Promise<void>;
}

async function startAdmin(bridge: Bridge = new NoBridge()): Promise<TestAdmin> {
  await using stack = new AsyncDisposableStack();
  const limits = { messageBytes: 100 };
  const testServer = stack.use(await startServer({ bridge, limits }));
  const { server } = testServer;
  const socket = `${testServer.socket}.admin`;
  stack.use(await Admin.start({ socket, mode: 0o600, server, bridge }));
  const resources = stack.move();
  return {
    ...testServer,
    adminSocket: socket,
    ask: (path, method) => ask(socket, path, method),
    async has(expected): Promise<void> {
      const samples = readSamples((await ask(socket, "/metrics")).text);
      for (const [name, value] of Object.entries(expected)) {
        if (value === "some") assert.ok(samples.get(name)! > 0, name);
        else assert.equal(samples.get(name), value, name);
      }
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

Deno.test("Admin has a socket with the mode it is told and to itself, and removes it at its end", async () => {
  let socket;
  {
    await using admin = await startAdmin();
    socket = admin.adminSocket;
    assert.equal(Deno.statSync(socket).mode! & 0o777, 0o600);
    const { server } = admin;
    const options = { socket, mode: 0o600, server, bridge: new NoBridge() };
    await assert.rejects(Admin.start(options), StartupError);
    const answer = await admin.ask("/healthz");
    assert.deepEqual([answer.status, answer.text], [200, "ok\n"]);
    assert.equal(answer.headers.get("cache-control"), "no-store");
  }
  await assert.rejects(Deno.lstat(socket), Deno.errors.NotFound);
});

Deno.test("Admin refuses what it doesn't know", async () => {
  await using admin = await startAdmin();
  const status = async (path: string, method?: string): Promise<number> =>
    (await admin.ask(path, method)).status;
  assert.equal(await status("/"), 404);
  assert.equal(await status("/metrics/"), 404);
  assert.equal(await status("/metrics", "POST"), 405);
  assert.equal(await status("/metrics", "DELETE"), 405);
  const head = await admin.ask("/metrics", "HEAD");
  assert.deepEqual([head.status, head.text], [200, ""]);
});

Deno.test("/metrics has each figure once, with its type and help", async () => {
  await using admin = await startAdmin(new StubBridge());
  const { text, headers } = await admin.ask("/metrics");
  assert.match(headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
  for (const { name, type, help } of figures) {
    const heading = `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name}`;
    assert.equal(text.split(heading).length, 2, name);
  }
  assert.equal(text.match(/^# HELP/gm)!.length, figures.length);
});

Deno.test("/metrics counts what clients do", async () => {
  await using admin = await startAdmin();
  const a = await admin.connect(path);
  const [b, c] = [await admin.connect(path), await admin.connect(path)];
  a.send("four");
  a.send(new Uint8Array(6));
  await b.take(2);
  await c.take(2);
  await admin.has({
    [`staps_build_info{version="${version}"}`]: 1,
    staps_ready: 1,
    staps_clients: 3,
    staps_clients_limit: 1000,
    staps_channels: 1,
    staps_connects_total: 3,
    staps_messages_received_total: 2,
    staps_received_bytes_total: 10,
    staps_deliveries_total: 4,
    staps_delivered_bytes_total: 20,
    'staps_fan_out_clients_bucket{le="1"}': 0,
    'staps_fan_out_clients_bucket{le="2"}': 2,
    'staps_fan_out_clients_bucket{le="+Inf"}': 2,
    staps_fan_out_clients_sum: 4,
    staps_fan_out_clients_count: 2,
    staps_buffered_bytes: 0,
    staps_join_duration_seconds_count: 3,
    process_cpu_seconds_total: "some",
    process_resident_memory_bytes: "some",
    process_heap_bytes: "some",
    process_open_fds: "some",
    process_max_fds: "some",
    process_start_time_seconds: "some",
  });
});

Deno.test("/metrics counts ends by code and by reason", async () => {
  await using admin = await startAdmin();
  (await admin.connect(path)).close(1000);
  (await admin.connect(path)).close(4321);
  (await admin.connect(path)).close();
  (await admin.connect(path)).send("x".repeat(101));
  await eventually(() => admin.server.clientCount === 0, "no client");
  assert.equal((await ask(admin.socket, path)).status, 426);
  await admin.has({
    'staps_disconnects_total{code="1000"}': 1,
    'staps_disconnects_total{code="other"}': 1,
    'staps_disconnects_total{code="1005"}': 1,
    // Behind what is too big nothing is read, not even an answer to the 1009.
    'staps_disconnects_total{code="1009"}': 1,
    'staps_disconnects_total{code="1006"}': 0,
    'staps_closes_total{reason="too_big"}': 1,
    'staps_closes_total{reason="slow"}': 0,
    'staps_limit_hits_total{limit="message_bytes"}': 1,
    'staps_handshakes_refused_total{status="426"}': 1,
    'staps_handshakes_refused_total{status="503"}': 0,
    staps_channels: 0,
    staps_clients: 0,
  });
});

Deno.test("/metrics has figures of the bridge only where there is one", async () => {
  await using alone = await startAdmin();
  assert.doesNotMatch((await alone.ask("/metrics")).text, /bridge/);
  await using bridged = await startAdmin(new StubBridge({ roundTripMs: 250 }));
  await bridged.has({
    staps_bridge_connected: 1,
    staps_bridge_blocked: 0,
    staps_bridge_round_trip_seconds: 0.25,
    staps_bridge_gaps_total: 10,
  });
});

Deno.test("the admin socket never names a channel", async () => {
  await using admin = await startAdmin(new StubBridge());
  const a = await admin.connect(path);
  const b = await admin.connect(path);
  a.send("hello");
  await b.next();
  for (const page of ["/metrics", "/healthz", "/readyz", "/status", "/x"]) {
    const { text } = await admin.ask(page);
    assert.ok(!text.includes("c0ffee00"), page);
  }
});

Deno.test("/status is an overview in JSON", async () => {
  const silent = new StubBridge({ roundTripMs: undefined });
  await using admin = await startAdmin(silent);
  await admin.connect(path);
  const { status, text, headers } = await admin.ask("/status");
  assert.equal(status, 200);
  assert.equal(headers.get("content-type"), "application/json");
  const overview: Status = JSON.parse(text);
  assert.equal(overview.version, version);
  assert.equal(overview.pid, Deno.pid);
  assert.equal(overview.clients, 1);
  assert.equal(overview.ready, false);
  assert.equal(overview.reasons[0]!.reason, "broker_silent");
  assert.equal(overview.bridge!.round_trip_ms, null);
  assert.ok(overview.memory_bytes > 0);
});

Deno.test("/readyz says why a node isn't ready, with a status for load balancers, also while it stops", async () => {
  const readiness = async (admin: TestAdmin): Promise<unknown[]> => {
    const { status, text } = await admin.ask("/readyz");
    return [status, JSON.parse(text)];
  };
  await using alone = await startAdmin();
  const yes = { ready: true, reasons: [] };
  assert.deepEqual(await readiness(alone), [200, yes]);
  const stopping = alone.server.stop();
  const message = "staps is stopping";
  const no = { ready: false, reasons: [{ reason: "stopping", message }] };
  assert.deepEqual(await readiness(alone), [503, no]);
  assert.equal((await alone.ask("/healthz")).status, 200);
  await stopping;

  const bridge = new StubBridge({ connected: false, problem: "ECONNREFUSED" });
  await using cut = await startAdmin(bridge);
  assert.deepEqual(await readiness(cut), [503, {
    ready: false,
    reasons: [{
      reason: "broker_unreachable",
      message: "The broker can't be reached: ECONNREFUSED",
    }],
  }]);
  await cut.has({ staps_ready: 0 });
});
