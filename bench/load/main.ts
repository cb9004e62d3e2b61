/**
 * The load generator's process: reads a line for each command on stdin, answers
 * with the command's number and JSON on stdout. It is synchronous throughout, and waits in epoll only.
 * It has the clients of one server.
 *
 * `bench/generator.ts` is its other end.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { handshakeBytes, isUpgrade, readHead } from "../../tools/handshake.ts";
import { type Percentiles, percentiles } from "../../tools/statistics.ts";
import { memoryBytes, spent, threadTimes } from "../processes.ts";
import { type Address, close, connect, receive, send } from "./libc.ts";
import { type RunOptions, Session, type SessionOptions } from "./session.ts";

/** How long a server may take until its first handshake succeeds. */
const startLimitMs = 30_000;
/** How often clients without a task look for what has come, in milliseconds. */
const idleStepMs = 1000;

/** What something took. */
export interface Cost {
  seconds: number;
  /** CPU time of the server's processes. */
  serverNs: number;
  /** How often its threads were put on a processor. */
  serverTurns: number;
  /** CPU time of this process. */
  generatorNs: number;
}

let session: Session;
/** The server's processes. */
let pids: number[];

const commands = {
  /** Waits until a handshake succeeds; gets when it did, in milliseconds since 1970. */
  await(address: Address): number {
    const limitMs = performance.now() + startLimitMs;
    while (!handshakeSucceeds(address)) {
      if (performance.now() > limitMs) {
        throw new Error(`No server answered within ${startLimitMs} ms`);
      }
      sleepMs(1);
    }
    return performance.timeOrigin + performance.now();
  },

  /** Connects the clients to the server of some processes. */
  open(options: SessionOptions & { pids: number[] }): Cost {
    ({ pids } = options);
    session = new Session(options);
    return costOf(() => session.connect());
  },

  /** Lets clients publish. The latencies of a warm-up are forgotten. */
  run(
    options: RunOptions & { isWarmUp: boolean },
  ): Cost & { deliveries: number } {
    // What came since the last run, such as pings, isn't this one's cost.
    session.catchUp();
    const { latenciesMs } = session;
    const before = latenciesMs.length;
    const cost = costOf(() => session.run(options));
    const deliveries = latenciesMs.length - before;
    if (options.isWarmUp) latenciesMs.length = 0;
    return { ...cost, deliveries };
  },

  /** Gets the percentiles of all runs. */
  latencies(): Percentiles {
    return percentiles(session.latenciesMs);
  },

  /** Gets the memory of the server, once everything that was sent has been read. */
  memory(): number {
    session.catchUp();
    return memoryBytes(pids);
  },
};

/** What the process can be told. */
export type Commands = typeof commands;

/** Gets what `work` costs. */
function costOf(work: () => void): Cost {
  const serverBefore = threadTimes(pids);
  const generatorBefore = threadTimes([Deno.pid]);
  const startMs = performance.now();
  work();
  const seconds = (performance.now() - startMs) / 1000;
  const generator = spent(generatorBefore, threadTimes([Deno.pid]));
  const server = spent(serverBefore, threadTimes(pids));
  return {
    seconds,
    serverNs: server.ns,
    serverTurns: server.turns,
    generatorNs: generator.ns,
  };
}

function handshakeSucceeds(address: Address): boolean {
  let fd;
  try {
    fd = connect(address);
  } catch {
    return false;
  }
  send(fd, handshakeBytes({ path: `/${crypto.randomUUID()}` }));
  const buffer = new Uint8Array(4096);
  let count = -1;
  for (let i = 0; count < 0 && i < 5000; i++) {
    count = receive(fd, buffer);
    if (count < 0) sleepMs(0.2);
  }
  close(fd);
  const head = readHead(buffer.subarray(0, Math.max(0, count)));
  return head !== undefined && isUpgrade(head);
}

/** Blocks this thread. */
function sleepMs(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Why the session ended while it had nothing to do. */
let failure: unknown;

// The server may ping clients while other peers have their turns.
const timer = setInterval(() => {
  try {
    session?.catchUp();
  } catch (error) {
    failure ??= error;
  }
}, idleStepMs);

for await (const line of createInterface({ input: process.stdin })) {
  const [id, name, input] = JSON.parse(line);
  let answer;
  try {
    if (failure !== undefined) throw failure;
    answer = { result: commands[name as keyof Commands](input as never) };
  } catch (error) {
    answer = { error: (error as Error).message };
  }
  const text = `${id} ${JSON.stringify(answer)}\n`;
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}
clearInterval(timer);
