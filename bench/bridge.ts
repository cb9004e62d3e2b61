/**
 * What the bridge costs: two of them against a bare amqplib loop, in the same
 * process, through the same RabbitMQ, in turns.
 *
 *     deno run --allow-all bench/bridge.ts [--write-docs]
 *
 * Prints throughput, latency at 2,000 messages/s, and how fast channels are
 * joined, joined again after the broker was away, and left; and puts that into
 * docs/bridge.md.
 */
import { AmqpBridge } from "../src/amqp/bridge.ts";
import { bridgeOptions } from "../tests/helpers/bridge_node.ts";
import type { BridgeListener } from "../src/relay/bridge.ts";
import { type Broker, startBroker } from "../tests/helpers/broker.ts";
import { eventually } from "../tests/helpers/eventually.ts";
import { machine } from "./machine.ts";
import { writeBetween } from "./page.ts";
import { type Loop, type Safety, startLoop } from "./peers/amqplib_loop.ts";

const channels = 50;
const messageBytes = 64;
const throughputMessages = 40_000;
const ratePerS = 2_000;
const latencyMs = 5_000;
const rounds = 3;
const joins = 10_000;

/** Two bridges, as a loop: what one publishes the other one gets. */
async function startBridges(url: string): Promise<Loop> {
  const loop: Loop = {
    onMessage: () => {},
    // The frame is the listener's, made when the message came; the bridge has no use for it.
    publish: (key, body) => {
      const payload = body as Uint8Array<ArrayBuffer>;
      a.publish(`/${key}`, { isText: false, payload, frame: payload });
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await a.close();
      await b.close();
    },
  };
  const a = await startBridge(url, ignoring);
  const b = await startBridge(url, {
    ...ignoring,
    deliver: (_, { payload }) => loop.onMessage(payload),
  });
  for (let key = 0; key < channels; key++) {
    await a.join(`/${key}`);
    await b.join(`/${key}`);
  }
  return loop;
}

/** A listener that minds nothing but a loss. */
const ignoring: BridgeListener = {
  deliver: () => {},
  gap: () => {
    throw new Error("The bridge lost messages");
  },
  // The backlog is what is measured.
  congested: () => {},
  openCount: () => 0,
};

async function startBridge(
  amqp: string,
  listener: BridgeListener,
): Promise<AmqpBridge> {
  const bridge = new AmqpBridge(
    bridgeOptions(amqp, { heartbeatS: 5, joinTimeoutS: 60 }),
  );
  await bridge.start(listener);
  return bridge;
}

/** Gets messages per second, from the first one out to the last one in. */
async function throughput(loop: Loop): Promise<number> {
  const all = Promise.withResolvers<void>();
  let received = 0;
  loop.onMessage = () => {
    if (++received === throughputMessages) all.resolve();
  };
  const startMs = performance.now();
  for (let i = 0; i < throughputMessages; i++) {
    loop.publish(i % channels, new Uint8Array(messageBytes));
  }
  await all.promise;
  return throughputMessages / (performance.now() - startMs) * 1000;
}

/** Gets how long messages take at a steady rate, in milliseconds, sorted. */
async function latencies(loop: Loop): Promise<Float64Array> {
  const count = ratePerS * latencyMs / 1000;
  const all = Promise.withResolvers<void>();
  const took: number[] = [];
  loop.onMessage = (body) => {
    const { buffer, byteOffset } = body;
    took.push(
      performance.now() - new DataView(buffer, byteOffset).getFloat64(0),
    );
    if (took.length === count) all.resolve();
  };
  const startMs = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = Math.min(
      count,
      (performance.now() - startMs) / 1000 * ratePerS,
    );
    for (; sent < due; sent++) {
      const body = new Uint8Array(messageBytes);
      new DataView(body.buffer).setFloat64(0, performance.now());
      loop.publish(sent % channels, body);
    }
    if (sent === count) clearInterval(timer);
  }, 1);
  await all.promise;
  return new Float64Array(took).sort();
}

interface Result {
  readonly perS: number[];
  readonly p50Ms: number[];
  readonly p99Ms: number[];
}

/** Gets how two bridges compare with the loops, in Markdown. */
async function compare(broker: Broker): Promise<string> {
  const url = broker.url();
  const kinds: [string, () => Promise<Loop>][] = [
    ["two bridges", () => startBridges(url)],
    ...([
      ["none", "nothing confirmed or stored"],
      ["full", "as safe as the bridge"],
    ] as [Safety, string][]).map((
      [safety, meaning],
    ): [string, () => Promise<Loop>] => [
      `amqplib, ${meaning}`,
      () => startLoop(url, { keys: channels, safety }),
    ]),
  ];
  const results = kinds.map((): Result => ({ perS: [], p50Ms: [], p99Ms: [] }));
  // One round more: the first one warms up.
  for (let round = 0; round <= rounds; round++) {
    for (const [i, [, start]] of kinds.entries()) {
      await using loop = await start();
      const perS = await throughput(loop);
      const sorted = await latencies(loop);
      if (round === 0) continue;
      results[i]!.perS.push(perS);
      results[i]!.p50Ms.push(sorted[sorted.length >> 1]!);
      results[i]!.p99Ms.push(sorted[Math.floor(sorted.length * 0.99)]!);
    }
  }
  const rows = results.map(({ perS, p50Ms, p99Ms }, i) => {
    const cells = [
      Math.round(median(perS)).toLocaleString("en"),
      `${median(p50Ms).toFixed(1)} ms`,
      `${median(p99Ms).toFixed(1)} ms`,
      i === 0 ? "" : ratio(median(results[0]!.perS), median(perS)),
      i === 0 ? "" : ratio(median(results[0]!.p99Ms), median(p99Ms)),
    ];
    return `| ${kinds[i]![0]} | ${cells.join(" | ")} |`;
  });
  return [
    `| ${channels} channels, ${messageBytes} bytes | messages/s | p50 at ${ratePerS}/s | p99 at ${ratePerS}/s | throughput, bridges / it | p99, bridges / it |`,
    "| --- | --: | --: | --: | --: | --: |",
    ...rows,
    "",
  ].join("\n");
}

function ratio(a: number, b: number): string {
  return (a / b).toFixed(2);
}

/** Gets how long many channels take, as a sentence. */
async function measureJoins(broker: Broker): Promise<string> {
  const bridge = await startBridge(broker.url(), ignoring);
  const paths = Array.from({ length: joins }, (_, i) => `/join/${i}`);
  const rate = (ms: number): string =>
    `${Math.round(joins / ms * 1000).toLocaleString("en")}/s`;

  let startMs = performance.now();
  await Promise.all(paths.map((path) => bridge.join(path)));
  const joined = rate(performance.now() - startMs);

  await broker.kill();
  await eventually(() => !bridge.state().connected, "the loss of connection");
  await broker.start();
  startMs = performance.now();
  await eventually(
    () => bridge.state().connected && bridge.state().joinsWaiting === 0,
    "the connection",
  );
  await bridge.probe(60_000);
  const againS = ((performance.now() - startMs) / 1000).toFixed(1);

  startMs = performance.now();
  for (const path of paths) bridge.leave(path);
  await eventually(() => bridge.state().channels === 0, "the leaves", {
    timeoutMs: 120_000,
  });
  const left = rate(performance.now() - startMs);
  await bridge.close();
  return `${
    joins.toLocaleString("en")
  } channels: joined at ${joined}, left at ${left}, and found again ${againS} s ` +
    "after the broker was back from a SIGKILL, because bindings survive.\n";
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

if (import.meta.main) {
  await using broker = await startBroker();
  const body = [
    `Measured at ${
      new Date().toISOString().slice(0, 10)
    } on ${await machine()}; ${rounds} rounds.\n`,
    await compare(broker),
    await measureJoins(broker),
  ].join("\n");
  print(body);
  if (Deno.args.includes("--write-docs")) {
    await writeBetween(new URL("../docs/bridge.md", import.meta.url), {
      begin: "<!-- Written by bench/bridge.ts --write-docs, never by hand. -->",
      end: "<!-- End of what is written by bench/bridge.ts. -->",
      body,
    });
  }
}
