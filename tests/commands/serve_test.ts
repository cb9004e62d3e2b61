import assert from "node:assert/strict";
import { serve, type ServeOptions } from "../../src/commands/serve.ts";
import { commandContext, parse, refusal } from "../helpers/command_line.ts";

Deno.test("serve.run() runs a node as the command line says", async () => {
  let told: ServeOptions | undefined;
  const context = commandContext({
    serve(options): Promise<void> {
      told = options;
      return Promise.resolve();
    },
  });
  assert.equal(await serve.run({ config: "a", socket: "b" }, context), 0);
  assert.deepEqual(told, { config: "a", socket: "b" });
  // As the unit staps@1 starts it.
  assert.equal(await serve.run({ instance: "1", socket: "b" }, context), 0);
  assert.deepEqual(told, {
    config: "/etc/staps/staps.conf",
    instanceFile: "/etc/staps/1.conf",
    socket: "b",
    adminSocket: "/run/staps-1/admin.sock",
  });
});

Deno.test("--listen takes on any loopback address", () => {
  const cases = [
    ["127.0.0.1:0", "127.0.0.1", 0],
    ["127.255.0.9:65535", "127.255.0.9", 65535],
    ["[::1]:80", "::1", 80],
    ["localhost:1", "127.0.0.1", 1],
    ["LOCALHOST:1", "127.0.0.1", 1],
  ] as const;
  for (const [text, hostname, port] of cases) {
    assert.deepEqual(parse("--listen", text).options, {
      listen: { hostname, port },
    });
  }
});

Deno.test("--listen refuses addresses for other machines, and says why", () => {
  const addresses = [
    ...["0.0.0.0:80", "[::]:80", "192.168.0.1:80", "10.127.0.1:80"],
    ...["128.0.0.1:80", "127.0.0.256:80", "127.1:80", "example.org:80"],
    ...["localhost.example.org:80", "[::ffff:127.0.0.1]:80", ":80"],
  ];
  for (const address of addresses) {
    const error = refusal("--listen", address);
    assert.match(error.message, /expected a loopback address/, address);
    assert.match(error.hint!, /no authentication, no TLS.* frontend/);
  }
});

Deno.test("--listen refuses what is no address with a port", () => {
  const addresses = [
    ...["", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x"],
    ...["127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "127.0.0.1:80/"],
  ];
  for (const address of addresses) {
    assert.match(
      refusal("--listen", address).message,
      /expected an address and a port/,
      address,
    );
  }
});
