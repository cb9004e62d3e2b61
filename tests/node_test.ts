import assert from "node:assert/strict";
import { statusText } from "../src/node.ts";
import { NoBridge } from "../src/relay/bridge.ts";
import { TempFolder } from "../tools/folder.ts";
import { startServer } from "./helpers/server.ts";
import { StubBridge } from "./helpers/stub_bridge.ts";
import { Clients, converse } from "../tools/ws_client.ts";

Deno.test("listeners() listen on the unix socket, with its permissions and until the end, and on a TCP address", async () => {
  await using server = await startServer({
    tcp: { hostname: "127.0.0.1", port: 0 },
  });
  assert.equal(Deno.statSync(server.socket).mode! & 0o777, 0o600);
  const { port } = server.server.addresses[1] as Deno.NetAddr;
  await using others = new Clients(`ws://127.0.0.1:${port}`);
  await converse(await server.connect("/x"), await others.join("/x"));
  await server.server.stop();
  assert.throws(() => Deno.statSync(server.socket), Deno.errors.NotFound);
});

Deno.test("listeners() say which address they can't have", async () => {
  using other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { hostname, port } = other.addr;
  await using folder = await TempFolder.make();
  await assert.rejects(
    startServer({ socket: `${folder.path}/s`, tcp: { hostname, port } }),
    (error: Error) =>
      error.name === "StartupError" &&
      error.message.startsWith(`Cannot listen on 127.0.0.1:${port}: `),
  );
  // The unix socket was there before.
  assert.throws(() => Deno.statSync(`${folder.path}/s`), Deno.errors.NotFound);
});

Deno.test("statusText() says what is wrong, with the broker once that can be known", async () => {
  await using testServer = await startServer();
  const { server } = testServer;
  const rest = { server, losses: [], notice: undefined, isNew: true };
  const well = "0 channels, 0 clients";
  assert.equal(statusText({ ...rest, bridge: new NoBridge() }), well);
  assert.equal(statusText({ ...rest, bridge: new StubBridge() }), well);

  const cut = new StubBridge({ connected: false, problem: "refused" });
  assert.equal(
    statusText({ ...rest, bridge: cut, notice: "Reloaded" }),
    `${well}. The broker can't be reached: refused. Reloaded`,
  );
  // Right after the start no message can be back.
  const bridge = new StubBridge({ roundTripMs: undefined });
  assert.equal(statusText({ ...rest, bridge }), well);
  assert.equal(
    statusText({ ...rest, bridge, isNew: false }),
    `${well}. The broker is connected, but returns no message`,
  );
  const loss = {
    role: "socket",
    message: "It is gone",
    isFinal: false,
  } as const;
  assert.equal(
    statusText({ ...rest, bridge: new NoBridge(), losses: [loss] }),
    `${well}. It is gone`,
  );
});
