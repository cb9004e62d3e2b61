/** A staps that comes back at the same address. */
import { channelHash } from "../../src/relay/channel_hash.ts";
import { Process, stapsCommand } from "../../tools/process.ts";

/** The real program, with its files in a folder of the test's. */
export class RestartableStaps implements AsyncDisposable {
  readonly socket: string;
  readonly #command: readonly string[];
  #process: Process | undefined;

  private constructor(socket: string, command: readonly string[]) {
    this.socket = socket;
    this.#command = command;
  }

  /**
   * Starts it in `folder`, where it is the only one called `name`, and resolves
   * when it listens; `through` is a command to start it with.
   */
  static async start(
    folder: string,
    { name, config = "", args = [], through = [] }: {
      readonly name: string;
      readonly config?: string;
      readonly args?: readonly string[];
      readonly through?: readonly string[];
    },
  ): Promise<RestartableStaps> {
    const file = `${folder}/${name}`;
    await Deno.writeTextFile(`${file}.conf`, config);
    const socket = `${file}.sock`;
    const staps = new RestartableStaps(socket, [
      ...[...through, Deno.execPath(), ...stapsCommand, "serve"],
      ...[`--config=${file}.conf`, `--socket=${socket}`, ...args],
    ]);
    await staps.start();
    return staps;
  }

  /** Starts it again. */
  async start(): Promise<void> {
    const [command, ...args] = this.#command;
    this.#process = new Process(command!, args);
    await this.#process.printed(/listening/);
  }

  async stop(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    await this.#process!.stop(signal);
  }

  /** How many clients of the channel `path` have come since the start. */
  joined(path: string): number {
    const line = `client connected .*channel=${channelHash(path)}`;
    return this.#process!.stderr.match(new RegExp(line, "g"))?.length ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.[Symbol.asyncDispose]();
  }
}
