/** The benchmark in a tiny form, so that it can't rot. Says nothing about speed. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { aimTable } from "../../bench/aims.ts";
import { Generator } from "../../bench/generator.ts";
import type { Row, Slice } from "../../bench/measure.ts";
import type { Results } from "../../bench/results.ts";
import { traffic } from "../../bench/workloads.ts";
import { runProgram } from "../../tools/process.ts";
import { TempFolder } from "../../tools/folder.ts";

const top = new URL("../../", import.meta.url).pathname;

Deno.test("deno task bench measures staps and the 20-line relay under the same load", async () => {
  await using folder = await TempFolder.make();
  const file = `${folder.path}/results.json`;
  const { code, stdout, stderr } = await runProgram(Deno.execPath(), [
    ..."run --allow-all bench/main.ts --rounds 1 --seconds 0.05".split(" "),
    ..."--only fanout-64-text,pairs-64-binary".split(" "),
    ..."--peers staps,relay --json".split(" "),
    file,
  ], { cwd: top });
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /^pairs-64-binary +relay +[\d.]+ /m);
  const { traffic } = JSON.parse(await Deno.readTextFile(file));
  const names = traffic.map(
    ({ workload }: { workload: { name: string } }) => workload.name,
  );
  assert.deepEqual(names, [
    "fanout-64-text",
    "fanout-64-text-burst",
    "pairs-64-binary",
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
      echo: false,
      address: { unix },
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
