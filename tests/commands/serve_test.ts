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

Deno.test("--listen takes any loopback address", () => {
  const addresses = {
    "127.0.0.1:0": { hostname: "127.0.0.1", port: 0 },
    "127.255.0.9:65535": { hostname: "127.255.0.9", port: 65535 },
    "[::1]:80": { hostname: "::1", port: 80 },
    "localhost:1": { hostname: "127.0.0.1", port: 1 },
    "LOCALHOST:1": { hostname: "127.0.0.1", port: 1 },
  };
  for (const [text, listen] of Object.entries(addresses)) {
    assert.deepEqual(parse("--listen", text).options, { listen });
  }
});

Deno.test("--listen refuses addresses for other machines, and what is none with a port", () => {
  const ofOthers = [
    ...["0.0.0.0:80", "[::]:80", "192.168.0.1:80", "10.127.0.1:80"],
    ...["128.0.0.1:80", "127.0.0.256:80", "127.1:80", "example.org:80"],
    ...["localhost.example.org:80", "[::ffff:127.0.0.1]:80", ":80"],
  ];
  for (const address of ofOthers) {
    const { message, hint } = refusal("--listen", address);
    assert.match(message, /expected a loopback address/, address);
    assert.match(hint!, /no authentication, no TLS.* frontend/);
  }
  const noAddresses = [
    ...["", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x"],
    ...["127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "127.0.0.1:80/"],
  ];
  for (const address of noAddresses) {
    const { message } = refusal("--listen", address);
    assert.match(message, /expected an address and a port/, address);
  }
});
