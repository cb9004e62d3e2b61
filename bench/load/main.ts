/**
 * The load generator's process: reads one command a line on stdin, answers each
 * with a line on stdout. It is synchronous throughout, and waits in epoll only.
 *
 * `bench/generator.ts` is its other end.
 */
import { handshakeBytes, isUpgrade, readHead } from "../../tools/handshake.ts";
import { type Address, close, connect, receive, send } from "./libc.ts";
import { memoryBytes, spent, threadTimes } from "../processes.ts";
import { Reactor } from "./reactor.ts";
import type { Percentiles } from "./samples.ts";
import {
  type RunOptions,
  type RunResult,
  Session,
  type SessionOptions,
} from "./session.ts";

/** How long a server may take until its first handshake succeeds. */
const startLimitMs = 30_000;

/** What costs what. */
export interface Cost {
  /** CPU time of the server's processes. */
  serverNs: number;
  /** How often its threads were put on a processor. */
  serverTurns: number;
  /** CPU time of this process. */
  generatorNs: number;
}

/** Every command with its answer. */
export interface Commands {
  /** Waits until a handshake succeeds; gets when it did, in milliseconds since 1970. */
  await: [{ address: Address }, { at: number }];
  /** Connects a session's clients. */
  open: [
    SessionOptions & { id: string; pids: number[] },
    Cost & { seconds: number },
  ];
  /** Lets a session publish. Samples of a warm-up are forgotten. */
  run: [
    RunOptions & { id: string; isWarmUp: boolean },
    RunResult & Cost & { latencyMs: Percentiles },
  ];
  /** Gets the memory of a session's server, once everything that was sent has been read. */
  memory: [{ pids: number[] }, { bytes: number }];
  /** Ends a session; gets the percentiles of all its runs. */
  close: [{ id: string }, { latencyMs: Percentiles }];
}

const reactor = new Reactor();
const sessions = new Map<string, { session: Session; pids: number[] }>();

const handlers: {
  [Name in keyof Commands]: (input: Commands[Name][0]) => Commands[Name][1];
} = {
  await({ address }): Commands["await"][1] {
    const limit = performance.now() + startLimitMs;
    for (;;) {
      const at = tryHandshake(address);
      if (at !== undefined) return { at };
      if (performance.now() > limit) {
        throw new Error(`No server answered within ${startLimitMs} ms`);
      }
      sleepMs(1);
    }
  },
  open({ id, pids, ...options }): Commands["open"][1] {
    const session = new Session(reactor, options);
    const start = performance.now();
    let cost;
    try {
      [, cost] = measure(pids, () => session.connect());
    } catch (error) {
      session.close();
      throw error;
    }
    sessions.set(id, { session, pids });
    return { ...cost, seconds: (performance.now() - start) / 1000 };
  },
  run({ id, isWarmUp, ...options }): Commands["run"][1] {
    const { session, pids } = sessions.get(id)!;
    // Other sessions' pings and the like belong to nobody's cost.
    reactor.step(0);
    const first = session.samples.count;
    const [result, cost] = measure(pids, () => session.run(options));
    const latencyMs = session.samples.percentiles(first);
    if (isWarmUp) session.samples.truncate(first);
    return { ...result, ...cost, latencyMs };
  },
  memory({ pids }): Commands["memory"][1] {
    for (let i = 0; i < 5; i++) reactor.step(1);
    return { bytes: memoryBytes(pids) };
  },
  close({ id }): Commands["close"][1] {
    const { session } = sessions.get(id)!;
    sessions.delete(id);
    session.close();
    return { latencyMs: session.samples.percentiles() };
  },
};

/** Gets what `work` returns and what it costs. */
function measure<T>(pids: number[], work: () => T): [T, Cost] {
  const before = threadTimes(pids);
  const generator = threadTimes([Deno.pid]);
  const result = work();
  const { ns: generatorNs } = spent(generator, threadTimes([Deno.pid]));
  const server = spent(before, threadTimes(pids));
  return [result, {
    serverNs: server.ns,
    serverTurns: server.turns,
    generatorNs,
  }];
}

/** Gets the time at which a handshake succeeded, or undefined if it can't yet. */
function tryHandshake(address: Address): number | undefined {
  let fd;
  try {
    fd = connect(address);
  } catch {
    return undefined;
  }
  send(fd, handshakeBytes({ path: `/${crypto.randomUUID()}` }));
  const buffer = new Uint8Array(4096);
  for (let i = 0; i < 5000; i++) {
    const count = receive(fd, buffer);
    if (count === 0) break;
    if (count > 0) {
      const at = performance.timeOrigin + performance.now();
      close(fd);
      const head = readHead(buffer.subarray(0, count));
      return head !== undefined && isUpgrade(head) ? at : undefined;
    }
    sleepMs(0.2);
  }
  close(fd);
  return undefined;
}

/** Blocks this thread. */
function sleepMs(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();
const chunk = new Uint8Array(65536);
let text = "";
for (;;) {
  const count = Deno.stdin.readSync(chunk);
  if (count === null) break;
  text += decoder.decode(chunk.subarray(0, count), { stream: true });
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
    const [name, input] = JSON.parse(text.slice(0, end));
    text = text.slice(end + 1);
    let answer;
    try {
      answer = { result: handlers[name as keyof Commands](input as never) };
    } catch (error) {
      answer = {
        error: error instanceof Error ? error.message : String(error),
      };
    }
    const bytes = encoder.encode(JSON.stringify(answer) + "\n");
    for (let at = 0; at < bytes.length;) {
      at += Deno.stdout.writeSync(bytes.subarray(at));
    }
  }
}
