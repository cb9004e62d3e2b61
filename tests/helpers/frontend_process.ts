/** A server that runs as a frontend, whichever it is. */
import { eventually } from "../../tools/eventually.ts";
import { accepts, TempFolder } from "../../tools/folder.ts";
import { Process } from "../../tools/process.ts";
import { childrenOf } from "./resident.ts";

/** A running frontend with a folder and a port of its own. */
export class FrontendProcess extends Process {
  /** Where its files and logs are. */
  readonly folder: TempFolder;
  /** The TCP port without TLS. */
  readonly port: number;

  /** Starts `command`. */
  constructor(
    command: readonly string[],
    { folder, port }: { folder: TempFolder; port: number },
  ) {
    super(command[0]!, command.slice(1));
    this.folder = folder;
    this.port = port;
  }

  /** The base URL for WebSocket clients without TLS. */
  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** All ports that it listens on. */
  get ports(): number[] {
    return [this.port];
  }

  /** Gets everything in every log. */
  async allLogs(): Promise<string> {
    let logs = this.output;
    for await (const { name } of Deno.readDir(this.folder.path)) {
      if (!name.endsWith(".log")) continue;
      logs += `\n${await Deno.readTextFile(`${this.folder.path}/${name}`)}`;
    }
    return logs;
  }

  /** The process ids of the workers. */
  workers(): Promise<number[]> {
    return childrenOf(this.pid);
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    // A master that is killed leaves its workers behind. One that is told to
    // stop begets no more, but waits for those that still have clients.
    this.signal("SIGTERM");
    for (const worker of await this.workers().catch(() => [])) {
      try {
        Deno.kill(worker, "SIGKILL");
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    await this.stop("SIGTERM");
    await this.folder[Symbol.asyncDispose]();
  }
}

/**
 * Gets what `start` starts in a folder of its own, once it accepts connections.
 *
 * @throws {Error} If it ends, or doesn't accept any in time.
 */
export async function inOwnFolder<F extends FrontendProcess>(
  start: (folder: TempFolder) => Promise<F>,
): Promise<F> {
  await using stack = new AsyncDisposableStack();
  const folder = await TempFolder.make();
  // The frontend removes it as well.
  stack.defer(() => folder[Symbol.asyncDispose]().catch(() => {}));
  const frontend = stack.use(await start(folder));
  await eventually(async () => {
    if (frontend.ended) {
      throw new Error(`The frontend has ended:\n${await frontend.allLogs()}`);
    }
    return (await Promise.all(frontend.ports.map(accepts))).every(Boolean);
  }, `ports ${frontend.ports} to accept connections`);
  stack.move();
  return frontend;
}
