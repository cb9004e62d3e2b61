/** The processes of a peer, from their start to their end, with the load generator's that has their clients. */
import { join } from "node:path";
import { TempFolder } from "../tools/folder.ts";
import { Process } from "../tools/process.ts";
import { Generator, withManyDescriptors } from "./generator.ts";
import type { Address } from "./load/libc.ts";
import type { Cost } from "./load/main.ts";
import type { SessionOptions } from "./load/session.ts";
import { type PeerName, peers } from "./peers.ts";
import { processTree } from "./processes.ts";

/** What was measured doesn't matter any more: nobody gets time to say goodbye, in milliseconds. */
const stopLimitMs = 3000;

/** How many clients there are, and what they send. */
type Shape = Omit<SessionOptions, "address" | "echo">;

/** A peer that runs. */
export interface RunningPeer extends AsyncDisposable {
  readonly generator: Generator;
  /** Lets clients connect, and gets what that costs. */
  open(shape: Shape): Promise<Cost>;
  /** Gets all its processes, its frontend included. */
  pids(): number[];
  /** Milliseconds from the start to the first handshake that succeeded. */
  readonly startUpMs: number;
}

/**
 * Starts a peer in a folder of its own, which goes with it.
 *
 * @throws {Error} If it can't be had, or doesn't answer; with the end of its log.
 */
export async function startPeer(name: PeerName): Promise<RunningPeer> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await TempFolder.make()).path;
  const generator = stack.use(new Generator());
  const servers: Server[] = [];
  let [address, startUpMs]: [Address, number] = [{ port: 0 }, 0];
  try {
    for (const program of await peers[name].programs(folder)) {
      address = program.address;
      const startedMs = Date.now();
      servers.push(stack.use(new Server(program.command, folder)));
      startUpMs = await generator.tell("await", address) - startedMs;
    }
  } catch (error) {
    const log = await Deno.readTextFile(join(folder, "log")).catch(() => "");
    const [reason] = (error as Error).message.split("\n");
    throw new Error(
      `Cannot start ${name}: ${reason}; its log ends with ${
        JSON.stringify(log.slice(-400))
      }`,
      { cause: error },
    );
  }
  // Its clients leave before it ends.
  stack.use(generator);
  const all = stack.move();
  const echo = peers[name].echo ?? false;
  const pids = (): number[] => servers.flatMap(({ pid }) => processTree(pid));
  return {
    generator,
    open: (shape) =>
      generator.tell("open", { ...shape, address, echo, pids: pids() }),
    pids,
    startUpMs,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** A server's process, which is killed if it doesn't end in time. */
class Server extends Process {
  /** Starts `command` in `folder`; what it says goes to the file "log" there, as it would to the journal. */
  constructor(command: string[], folder: string) {
    const script = 'exec "$@" >>log 2>&1';
    const args = ["-c", script, "sh", ...withManyDescriptors(command)];
    super("sh", args, { cwd: folder });
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGTERM", { timeoutMs: stopLimitMs }).catch(() => {});
    await super[Symbol.asyncDispose]();
  }
}
