/** What every example of a frontend does while staps is away, with Debian's real servers. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { eventually } from "../../tools/eventually.ts";
import { ask, EveryFrontend, type Trial } from "../helpers/every_frontend.ts";
import { startFrontend } from "../helpers/frontends.ts";
import { replaceOnce } from "../helpers/nginx.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { Clients, converse } from "../../tools/ws_client.ts";

const every = new EveryFrontend();

Deno.test("while staps is away every frontend says so, with no path in a log, and then lets clients in", async (t) => {
  await every.staps.stop("SIGKILL");
  const unreachable: Trial = async (frontend, name) => {
    const path = newPath();
    const headers = { Referer: `http://localhost${path}` };
    const expected = frontend.kind.statusWithoutStaps;
    const [one, other, answer] = await Promise.all([
      ask(frontend, { path, headers }),
      ask(frontend, { path: `${path}?${path}`, headers }),
      fetch(`http://127.0.0.1:${frontend.port}${path}`, { method: "POST" }),
    ]);
    await answer.body?.cancel();
    assert.deepEqual([one, other, answer.status], Array(3).fill(expected));
    const retryAfter = name === "nginx" ? "5" : null;
    assert.equal(answer.headers.get("retry-after"), retryAfter);
  };
  await every.try(t, { "finds nobody behind the socket": unreachable });
  await Deno.remove(every.socket);
  await every.try(t, { "finds no socket": unreachable });
  using rude = Deno.listen({ transport: "unix", path: every.socket });
  await Deno.chmod(every.socket, 0o600);
  await every.try(t, { "may not open the socket": unreachable });
  await Deno.chmod(every.socket, 0o666);
  const hangUp = (async () => {
    for await (const connection of rude) connection.close();
  })();
  await every.try(t, {
    "is hung up on": async (frontend) => {
      assert.ok(await ask(frontend) >= 500);
    },
  });
  // This removes it, too.
  rude.close();
  await hangUp;
  await every.startStaps();
  await every.try(t, {
    "lets clients in again": async ({ url }) => {
      await using clients = new Clients(url);
      const [a, b] = await clients.joinMany(newPath(), 2);
      await converse(a!, b!);
    },
  });
});

Deno.test("who comes while staps restarts is held by Caddy, and refused at once by the others", async () => {
  const { socket } = every;
  await using holding = await startFrontend("caddy", { socket });
  // Retries come all at once on a unix socket.
  await using haproxy = await startFrontend("haproxy", {
    socket,
    replace: [["retries 0", "retries 9"]],
  });
  const refusing = every.all.values().filter(({ kind }) => !kind.holds);
  await every.staps.stop();
  const handshake = ask(holding);
  const post = fetch(`http://127.0.0.1:${holding.port}${newPath()}`, {
    method: "POST",
    body: "posted meanwhile",
  });
  for (const frontend of [...refusing, haproxy]) {
    const { example, statusWithoutStaps } = frontend.kind;
    assert.equal(await ask(frontend), statusWithoutStaps, example);
  }
  await every.startStaps();
  assert.equal(await handshake, 101);
  // Caddy can't read the body for a second try.
  const { status, body } = await post;
  await body?.cancel();
  assert.equal(status, holding.kind.statusWithoutStaps);
});

Deno.test("docs/frontends.md: HAProxy asks the admin socket whether staps is ready", async () => {
  const lines = replaceOnce(await block("docs/frontends.md", "check"), [
    ["/run/staps/staps.sock", every.socket],
    ["/run/staps/admin.sock", every.adminSocket],
    ["inter 2s", "inter 200ms"],
  ]);
  await using frontend = await startFrontend("haproxy", {
    socket: every.socket,
    replace: [[`    server staps unix@${every.socket}\n`, lines]],
  });
  const logged = (text: string): Promise<unknown> =>
    eventually(async () => (await frontend.allLogs()).includes(text), text);
  assert.equal(await ask(frontend), 101);
  every.staps.signal("SIGSTOP");
  await logged("Server staps/staps is DOWN");
  assert.equal(await ask(frontend), 503);
  every.staps.signal("SIGCONT");
  await logged("Server staps/staps is UP");
  assert.equal(await ask(frontend), 101);
});

every.testFarewell();
