import assert from "node:assert/strict";
import { listeners } from "../src/node.ts";
import { TempFolder } from "./helpers/folder.ts";
import { startServer } from "./helpers/server.ts";

const respond = (): Promise<Response> => Promise.resolve(new Response("here"));

Deno.test("listeners() listen on the unix socket with its permissions, and remove it at the end", async () => {
  await using folder = await TempFolder.make();
  const socket = `${folder.path}/s`;
  const [listen, ...others] = listeners({ socket, mode: 0o620 });
  assert.deepEqual(others, []);
  const listener = await listen!(respond);
  assert.equal(Deno.statSync(socket).mode! & 0o777, 0o620);
  using client = Deno.createHttpClient({
    proxy: { transport: "unix", path: socket },
  });
  const response = await fetch("http://localhost/", { client });
  assert.equal(await response.text(), "here");
  await listener.shutdown();
  assert.throws(() => Deno.statSync(socket), Deno.errors.NotFound);
});

Deno.test("listeners() let clients in on a TCP address, too", async () => {
  await using server = await startServer({
    tcp: { hostname: "127.0.0.1", port: 0 },
  });
  const address = server.server.addresses[1] as Deno.NetAddr;
  const client = await server.connect("/x");
  const socket = new WebSocket(`ws://127.0.0.1:${address.port}/x`);
  await new Promise((resolve) => socket.onopen = resolve);
  socket.send("over TCP");
  assert.equal(await client.next(), "over TCP");
  socket.close();
  await new Promise((resolve) => socket.onclose = resolve);
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
