/**
 * A process that measures how long messages take in a channel of its own: the
 * arguments are the unix socket or port, and for how many seconds.
 *
 * On stdout comes one line of JSON, {@linkcode Latency}.
 */
import { sleep } from "../../src/common/timing.ts";
import { frameBytes, opcodes, RawClient } from "../../tools/raw_client.ts";
import { print } from "../chaos/terminal.ts";
import { readTarget } from "./attacker.ts";

/** How long messages took, in milliseconds. */
export interface Latency {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** How far apart messages are, in milliseconds. */
const intervalMs = 10;

async function measure(where: string, seconds: number): Promise<Latency> {
  const target = readTarget(where);
  const path = `/${crypto.randomUUID()}`;
  using reader = await RawClient.join(target, path);
  using publisher = await RawClient.join(target, path);
  const count = Math.round(seconds * 1000 / intervalMs);
  const sentMs: number[] = [];
  const tookMs: number[] = [];
  const read = async (): Promise<void> => {
    while (tookMs.length < count) {
      const frame = await reader.readFrame();
      if (frame === undefined) {
        throw new Error("Expected a message, got the end");
      }
      if (frame.opcode !== opcodes.text) continue;
      tookMs.push(performance.now() - sentMs[tookMs.length]!);
    }
  };
  const reading = read();
  const startMs = performance.now();
  for (let i = 0; i < count; i++) {
    await sleep(Math.max(0, startMs + i * intervalMs - performance.now()));
    sentMs.push(performance.now());
    await publisher.write(frameBytes(opcodes.text, "probe"));
  }
  await reading;
  tookMs.sort((a, b) => a - b);
  const at = (part: number): number => tookMs[Math.floor(part * (count - 1))]!;
  return { count, p50: at(0.5), p99: at(0.99), max: at(1) };
}

const [where, seconds] = Deno.args as [string, string];
print(`${JSON.stringify(await measure(where, Number(seconds)))}\n`);
