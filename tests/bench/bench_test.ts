/** The benchmark in a tiny form, so that it can't rot. Says nothing about speed. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { Generator } from "../../bench/generator.ts";
import { runProgram } from "../helpers/process.ts";
import { TempFolder } from "../helpers/folder.ts";

const top = new URL("../../", import.meta.url).pathname;

Deno.test("deno task bench measures staps and the 20-line relay under the same load", async () => {
  await using folder = await TempFolder.make();
  const file = `${folder.path}/results.json`;
  const { code, stdout, stderr } = await runProgram(Deno.execPath(), [
    ..."run --allow-all bench/main.ts --rounds 1 --seconds 0.05".split(" "),
    ..."--only fanout-64-text,pairs-64-binary,growth-channels-10".split(" "),
    ..."--peers staps,relay --json".split(" "),
    file,
  ], { cwd: top });
  assert.equal(code, 0, stdout + stderr);
  assert.match(
    stdout,
    /\| CPU per delivery, staps \/ 20-line relay \| ≤ 1.05 \|/,
  );
  const { traffic } = JSON.parse(await Deno.readTextFile(file));
  const names = traffic.map(
    ({ workload }: { workload: { name: string } }) => workload.name,
  );
  assert.deepEqual(names, [
    "fanout-64-text",
    "fanout-64-text-burst",
    "pairs-64-binary",
    "growth-channels-10",
    "growth-channels-100",
    "growth-channels-1000",
  ]);
  for (const { rows } of traffic) {
    assert.deepEqual(rows.map(({ peer }: { peer: string }) => peer), [
      "staps",
      "relay",
    ]);
    for (const { slices: [slice], failure } of rows) {
      assert.equal(failure, undefined);
      assert.ok(slice.serverUsPerDelivery > 0 && slice.deliveriesPerSecond > 0);
    }
  }
});

/** What a relay can do wrong with a message, the how manieth of it given, for one receiver. */
const faults: Record<
  string,
  {
    expected: RegExp;
    send(socket: WebSocket, data: string, count: number): void;
  }
> = {
  loses: {
    expected: /expected number \d+ of 0|deliveries are missing/,
    send: (socket, data, count) => count === 7 || socket.send(data),
  },
  doubles: {
    expected: /expected number \d+ of 0/,
    send: (socket, data, count) => {
      socket.send(data);
      if (count === 7) socket.send(data);
    },
  },
  changes: {
    expected: /expected 64 unchanged/,
    send: (socket, data, count) =>
      socket.send(count === 7 ? data.slice(0, -1) + "!" : data),
  },
  cuts: {
    expected: /expected 64 unchanged/,
    send: (socket, data, count) =>
      socket.send(count === 7 ? data.slice(1) : data),
  },
  "hangs up on": {
    expected: /The server closed client \d: 4321 "why not"/,
    send: (socket, data, count) =>
      count === 7 ? socket.close(4321, "why not") : socket.send(data),
  },
};

for (const [name, { expected, send }] of Object.entries(faults)) {
  Deno.test(`Generator fails for a relay that ${name} a message`, async () => {
    await using folder = await TempFolder.make();
    const unix = `${folder.path}/s`;
    await using _relay = faultyRelay(unix, send);
    await using generator = new Generator();
    const session = {
      channels: 1,
      clientsPerChannel: 3,
      bytes: 64,
      binary: false,
    };
    await generator.tell("open", {
      ...session,
      id: "x",
      protocol: "raw",
      echo: false,
      addresses: [{ unix }],
      pids: [],
    });
    await assert.rejects(
      // Bursts, so that a lost message is followed by others.
      generator.tell("run", {
        id: "x",
        seconds: 0.2,
        burst: 4,
        window: 1,
        isWarmUp: false,
      }),
      expected,
    );
  });
}

/** Starts a relay for one channel that sends to one of the receivers by `send`. */
function faultyRelay(
  path: string,
  send: (socket: WebSocket, data: string, count: number) => void,
): Deno.HttpServer<Deno.UnixAddr> {
  const members: WebSocket[] = [];
  let count = 0;
  return Deno.serve({ path, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    members.push(socket);
    socket.onmessage = ({ data }) => {
      count++;
      const victim = members.find((other) => other !== socket);
      for (const other of members) {
        if (other === socket || other.readyState !== WebSocket.OPEN) continue;
        if (other === victim) send(other, data, count);
        else other.send(data);
      }
    };
    return response;
  });
}

Deno.test("docs/benchmarks.md compares two versions with options that there are", async () => {
  const text = await block("docs/benchmarks.md", "before");
  const command = text.replaceAll("\\\n", " ").match(/deno task bench (.*)/);
  // Only lists what could be measured, once it has understood the options.
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--allow-all", `${top}bench/main.ts`, "--list"],
      ...command![1]!.trim().split(/\s+/),
    ],
    cwd: top,
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
});
