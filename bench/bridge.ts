/**
 * What the bridge costs: two of them against a bare amqplib loop, in the same
 * process, through the same RabbitMQ, in turns.
 *
 *     deno run --allow-all bench/bridge.ts [--json FILE] [--write-docs]
 *     deno run --allow-all bench/bridge.ts --from FILE --write-docs
 *
 * Prints throughput, latency at 2,000 messages/s, and how fast channels are
 * joined, joined again after the broker was away, and left; writes that to a
 * file, and puts it into docs/bridge.md. With `--from` it measures nothing, and
 * takes the results from such a file.
 */
import { parseArgs } from "node:util";
import { AmqpBridge } from "../src/amqp/bridge.ts";
import type { BridgeListener } from "../src/relay/bridge.ts";
import { bridgeOptions } from "../tools/bridge_options.ts";
import { type Broker, startBroker } from "../tools/broker.ts";
import { eventually } from "../tools/eventually.ts";
import { machine } from "../tools/machine.ts";
import { writeBetween } from "../tools/page.ts";
import { type Percentiles, percentiles, spread } from "../tools/statistics.ts";
import { markdown } from "../tools/table.ts";
import { type Loop, startLoop } from "./peers/amqplib_loop.ts";

const channels = 50;
const messageBytes = 64;
const throughputMessages = 40_000;
const ratePerS = 2_000;
const latencyMs = 5_000;
const rounds = 3;
const joinChannels = 10_000;

/** Everything that a run found. */
interface Results {
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly machine: string;
  /** First the bridges, then what they are compared with. */
  readonly loops: readonly LoopResult[];
  readonly joins: JoinResult;
}

/** What one loop showed; an entry a round. */
interface LoopResult {
  readonly title: string;
  readonly perS: number[];
  readonly p50Ms: number[];
  readonly p99Ms: number[];
}

/** How fast many channels were joined and left. */
interface JoinResult {
  readonly joinedPerS: number;
  readonly leftPerS: number;
  /** From the broker's return until all channels were found again. */
  readonly againS: number;
}

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
  const a = await startBridge(url);
  const b = await startBridge(url, (_, { payload }) => loop.onMessage(payload));
  for (let key = 0; key < channels; key++) {
    await a.join(`/${key}`);
    await b.join(`/${key}`);
  }
  return loop;
}

/** Starts a bridge that minds nothing but a loss. */
async function startBridge(
  amqp: string,
  deliver: BridgeListener["deliver"] = () => {},
): Promise<AmqpBridge> {
  const bridge = new AmqpBridge(
    bridgeOptions(amqp, { heartbeatS: 5, joinTimeoutS: 60 }),
  );
  await bridge.start({
    deliver,
    gap: () => {
      throw new Error("The bridge lost messages");
    },
    // The backlog is what is measured.
    congested: () => {},
    openCount: () => 0,
  });
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

/** Gets how long messages take at a steady rate. */
async function latencies(loop: Loop): Promise<Percentiles> {
  const count = ratePerS * latencyMs / 1000;
  const all = Promise.withResolvers<void>();
  const took: number[] = [];
  loop.onMessage = ({ buffer, byteOffset }) => {
    const sentMs = new DataView(buffer, byteOffset).getFloat64(0);
    took.push(performance.now() - sentMs);
    if (took.length === count) all.resolve();
  };
  const startMs = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = (performance.now() - startMs) / 1000 * ratePerS;
    for (; sent < Math.min(count, due); sent++) {
      const body = new Uint8Array(messageBytes);
      new DataView(body.buffer).setFloat64(0, performance.now());
      loop.publish(sent % channels, body);
    }
    if (sent === count) clearInterval(timer);
  }, 1);
  await all.promise;
  return percentiles(took);
}

/** Measures two bridges and the loops, in turns. */
async function measureLoops(url: string): Promise<LoopResult[]> {
  const loop = (isSafe: boolean) => (): Promise<Loop> =>
    startLoop(url, { keys: channels, isSafe });
  const kinds: [title: string, start: () => Promise<Loop>][] = [
    ["two bridges", () => startBridges(url)],
    ["amqplib, nothing confirmed or stored", loop(false)],
    ["amqplib, as safe as the bridge", loop(true)],
  ];
  const results = kinds.map(([title]): LoopResult => ({
    ...{ title, perS: [], p50Ms: [], p99Ms: [] },
  }));
  // One round more: the first one warms up.
  for (let round = 0; round <= rounds; round++) {
    for (const [i, [, start]] of kinds.entries()) {
      await using loop = await start();
      const perS = await throughput(loop);
      const { p50, p99 } = await latencies(loop);
      if (round === 0) continue;
      results[i]!.perS.push(perS);
      results[i]!.p50Ms.push(p50);
      results[i]!.p99Ms.push(p99);
    }
  }
  return results;
}

/** Measures how long many channels take. */
async function measureJoins(broker: Broker): Promise<JoinResult> {
  const bridge = await startBridge(broker.url());
  const paths = Array.from({ length: joinChannels }, (_, i) => `/join/${i}`);
  const rate = (startMs: number): number =>
    joinChannels / (performance.now() - startMs) * 1000;

  let startMs = performance.now();
  await Promise.all(paths.map((path) => bridge.join(path)));
  const joinedPerS = rate(startMs);

  await broker.kill();
  await eventually(() => !bridge.state().connected, "the loss of connection");
  await broker.start();
  startMs = performance.now();
  await eventually(
    () => bridge.state().connected && bridge.state().joinsWaiting === 0,
    "the connection",
  );
  await bridge.probe(60_000);
  const againS = (performance.now() - startMs) / 1000;

  startMs = performance.now();
  for (const path of paths) bridge.leave(path);
  await eventually(() => bridge.state().channels === 0, "the leaves", {
    timeoutMs: 120_000,
  });
  const leftPerS = rate(startMs);
  await bridge.close();
  return { joinedPerS, leftPerS, againS };
}

/** Gets everything as Markdown. */
function text({ date, machine, loops, joins }: Results): string {
  const median = (values: readonly number[]): number => spread(values).median;
  const ratio = (of: (loop: LoopResult) => number[], i: number): string =>
    i === 0 ? "" : (median(of(loops[0]!)) / median(of(loops[i]!))).toFixed(2);
  const rows = loops.map(({ title, perS, p50Ms, p99Ms }, i) => {
    const p99 = spread(p99Ms);
    const range = `${p99.min.toFixed(1)}–${p99.max.toFixed(1)}`;
    return [
      title,
      whole(median(perS)),
      `${median(p50Ms).toFixed(1)} ms`,
      `${p99.median.toFixed(1)} ms (${range})`,
      ratio((loop) => loop.perS, i),
      ratio((loop) => loop.p99Ms, i),
    ];
  });
  const columns = [
    `${channels} channels, ${messageBytes} bytes`,
    "messages/s",
    `p50 at ${ratePerS}/s`,
    `p99 at ${ratePerS}/s`,
    "throughput, bridges / it",
    "p99, bridges / it",
  ];
  const { joinedPerS, leftPerS, againS } = joins;
  return [
    `Measured at ${date.slice(0, 10)} on ${machine}; ${rounds} rounds.`,
    "",
    markdown({ columns, rows }),
    `${whole(joinChannels)} channels: joined at ${whole(joinedPerS)}/s, ` +
    `left at ${whole(leftPerS)}/s, and found again ${againS.toFixed(1)} s ` +
    "after the broker was back from a SIGKILL, because bindings survive.",
    "",
  ].join("\n");
}

/** Gets a number without decimals, its thousands apart. */
function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}

async function measure(): Promise<Results> {
  await using broker = await startBroker();
  return {
    date: new Date().toISOString(),
    machine: await machine(),
    loops: await measureLoops(broker.url()),
    joins: await measureJoins(broker),
  };
}

const { values } = parseArgs({
  options: {
    json: { type: "string" },
    from: { type: "string" },
    "write-docs": { type: "boolean" },
  },
});
const results: Results = values.from === undefined
  ? await measure()
  : JSON.parse(await Deno.readTextFile(values.from));
const body = text(results);
Deno.stdout.writeSync(new TextEncoder().encode(`${body}\n`));
if (values.json) await Deno.writeTextFile(values.json, JSON.stringify(results));
if (values["write-docs"]) {
  await writeBetween(new URL("../docs/bridge.md", import.meta.url), {
    begin: "<!-- Written by bench/bridge.ts --write-docs, never by hand. -->",
    end: "<!-- End of what is written by bench/bridge.ts. -->",
    body,
  });
}
