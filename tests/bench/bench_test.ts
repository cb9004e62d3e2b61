/** The benchmark in a tiny form, so that it can't rot. Says nothing about speed. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { aimTable } from "../../bench/aims.ts";
import { Generator } from "../../bench/generator.ts";
import type { Row, Slice } from "../../bench/measure.ts";
import type { Results } from "../../bench/results.ts";
import { traffic } from "../../bench/workloads.ts";
import { type Outcome, repository, runProgram } from "../../tools/process.ts";
import { TempFolder } from "../../tools/folder.ts";

Deno.test("deno task bench measures staps and the 20-line relay under the same load", async () => {
  await using folder = await TempFolder.make();
  const file = `${folder.path}/results.json`;
  const { code, stdout, stderr } = await bench(
    ..."--rounds 1 --seconds 0.05 --peers staps,relay".split(" "),
    ...["--only", "fanout-64-text-,pairs-64-binary", "--json", file],
  );
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /^pairs-64-binary +relay +[\d.]+ /m);
  const results: Results = JSON.parse(await Deno.readTextFile(file));
  const names = results.traffic.map(({ workload }) => workload.name);
  assert.deepEqual(names, ["fanout-64-text-burst", "pairs-64-binary"]);
  for (const { rows } of results.traffic) {
    assert.deepEqual(rows.map(({ peer }) => peer), ["staps", "relay"]);
    for (const { slices: [slice], failure } of rows) {
      assert.equal(failure, undefined);
      assert.ok(slice!.serverUsPerDelivery > 0);
      assert.ok(slice!.deliveriesPerSecond > 0);
    }
  }

  results.traffic[1]!.rows[1]!.failure = "deliveries are missing";
  await Deno.writeTextFile(file, JSON.stringify(results));
  const again = await bench("--from", file);
  assert.equal(again.code, 1);
  assert.match(again.stdout, /^failed: relay in pairs-64-binary: deliv/m);
});

/** Runs the benchmark to its end. */
function bench(...args: string[]): Promise<Outcome> {
  const script = `${repository}/bench/main.ts`;
  const command = ["run", "--allow-all", script, ...args];
  return runProgram(Deno.execPath(), command, { timeoutMs: 120_000 });
}

Deno.test("aimTable() tells by its worst workload how far an aim is met", () => {
  const row = (peer: "staps" | "ws", costs: readonly number[]): Row => ({
    peer,
    slices: costs.map((us) => ({ serverUsPerDelivery: us }) as Slice),
  });
  const large = traffic.filter(({ name }) => name.startsWith("fanout-16k"));
  const results = (costs: readonly number[]): Results => ({
    ...{ date: "", machine: "", effort: "", idle: [], storms: [] },
    traffic: large.map((workload, i) => ({
      workload,
      rows: [row("staps", [costs[i]!, 99, costs[i]!]), row("ws", [10, 99, 10])],
    })),
  });
  assert.equal(large.length, 4);
  for (
    const [costs, expected] of [
      [[9, 10, 8, 7], `≤ 1 | 1.00 | ${large[1]!.name} | met |`],
      [[9, 10, 12, 7], `≤ 1 | 1.20 | ${large[2]!.name} | **met in 3 of 4** |`],
    ] as const
  ) {
    const lines = aimTable(results(costs)).trim().split("\n");
    assert.deepEqual(lines.slice(2), [`| 16 KiB: Node \`ws\` | ${expected}`]);
  }
});

/** What a relay can do wrong with a message, the how manieth of it given, for one receiver. */
const faults: [
  name: string,
  send: (socket: WebSocket, data: string, count: number) => void,
  expected: RegExp,
][] = [
  [
    "loses a message",
    (socket, data, count) => count === 7 || socket.send(data),
    /expected number \d+ of 0|deliveries are missing/,
  ],
  [
    "falls silent",
    (socket, data, count) => count < 7 && socket.send(data),
    /\d deliveries are missing/,
  ],
  [
    "doubles a message",
    (socket, data, count) => {
      socket.send(data);
      if (count === 7) socket.send(data);
    },
    /expected number \d+ of 0/,
  ],
  [
    "changes a message",
    (socket, data, count) =>
      socket.send(count === 7 ? data.slice(0, -1) + "!" : data),
    /expected 64 unchanged/,
  ],
  [
    "cuts a message",
    (socket, data, count) =>
      socket.send(count === 7 ? data.slice(0, 20) + data.slice(21) : data),
    /63 bytes: expected 64 unchanged/,
  ],
  [
    "hangs up",
    (socket, data, count) =>
      count === 7 ? socket.close(4321, "why not") : socket.send(data),
    /The server closed client \d: 4321 "why not"/,
  ],
];

for (const [name, send, expected] of faults) {
  Deno.test(`Generator fails for a relay that ${name}`, async () => {
    await using folder = await TempFolder.make();
    const unix = `${folder.path}/s`;
    await using _relay = faultyRelay(unix, send);
    await using generator = new Generator();
    await open(generator, unix);
    // Bursts, so that a lost message is followed by others.
    const run = { seconds: 0.2, burst: 4, window: 1, limitMs: 1000 };
    await assert.rejects(
      generator.tell("run", { ...run, isWarmUp: false }),
      expected,
    );
  });
}

Deno.test("Generator fails for a server that only claims to speak WebSocket", async () => {
  await using folder = await TempFolder.make();
  const unix = `${folder.path}/s`;
  using listener = Deno.listen({ transport: "unix", path: unix });
  await using generator = new Generator();
  const opened = open(generator, unix);
  using connection = await listener.accept();
  const answer = "HTTP/1.1 101 Yes\r\nSec-WebSocket-Accept: what?\r\n\r\n";
  await connection.write(new TextEncoder().encode(answer));
  await assert.rejects(opened, /refused a client: got "HTTP\/1.1 101 Yes"/);
});

/** Connects the three clients of one channel. */
function open(generator: Generator, unix: string): Promise<unknown> {
  return generator.tell("open", {
    ...{ address: { unix }, pids: [], echo: false },
    ...{ channels: 1, clientsPerChannel: 3, bytes: 64, binary: false },
  });
}

/** Starts a relay for one channel that sends to one of the receivers by `send`. */
function faultyRelay(
  path: string,
  send: typeof faults[number][1],
): Deno.HttpServer<Deno.UnixAddr> {
  const members: WebSocket[] = [];
  let count = 0;
  return Deno.serve({ path, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    members.push(socket);
    socket.onmessage = ({ data }) => {
      count++;
      const others = members.filter((other) => other !== socket);
      for (const [i, other] of others.entries()) {
        if (other.readyState !== WebSocket.OPEN) continue;
        if (i === 0) send(other, data, count);
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
  const { code, stderr } = await bench(
    "--list",
    ...command![1]!.trim().split(/\s+/),
  );
  assert.equal(code, 0, stderr);
});
