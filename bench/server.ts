/** The processes of a peer, from their start to their end. */
import { join } from "node:path";
import { type Generator, withManyDescriptors } from "./generator.ts";
import type { Address } from "./load/libc.ts";
import { processTree } from "./processes.ts";

/** What was measured doesn't matter any more: nobody gets time to say goodbye, in milliseconds. */
const stopLimitMs = 3000;

/** A server that runs. */
export interface RunningPeer extends AsyncDisposable {
  /** Where clients connect. */
  address: Address;
  /** Gets all its processes, its frontend included. */
  pids(): number[];
  /** Milliseconds from its start to the first handshake that succeeded. */
  startUpMs: number;
}

/** A process with everything below it. */
export class Server implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #startedAt = performance.timeOrigin + performance.now();

  /** Starts `command` in `folder`; what it says goes to the file "log" there, as it would to the journal. */
  constructor(command: string[], folder: string) {
    const script = `exec "$@" >>'${join(folder, "log")}' 2>&1`;
    this.#process = new Deno.Command("sh", {
      args: ["-c", script, "sh", ...withManyDescriptors(command)],
      stdin: "null",
      cwd: folder,
    }).spawn();
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Gets the time from start to the first handshake. */
  async ready(generator: Generator, address: Address): Promise<number> {
    const { at } = await generator.tell("await", { address });
    return at - this.#startedAt;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pids = processTree(this.pid);
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => {
      for (const pid of pids) {
        try {
          Deno.kill(pid, "SIGKILL");
        } catch {
          // Gone already.
        }
      }
    }, stopLimitMs);
    await this.#process.status;
    clearTimeout(timer);
  }
}

/** Gets a running peer out of its processes; they are ready when the last one answers at `address`. */
export async function running(
  servers: Server[],
  { address, generator }: { address: Address; generator: Generator },
): Promise<RunningPeer> {
  await using stack = new AsyncDisposableStack();
  for (const server of servers) stack.use(server);
  const startUpMs = await servers.at(-1)!.ready(generator, address);
  const stop = stack.move();
  return {
    address,
    startUpMs,
    pids: () => servers.flatMap(({ pid }) => processTree(pid)),
    [Symbol.asyncDispose]: () => stop.disposeAsync(),
  };
}
