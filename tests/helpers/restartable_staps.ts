/** A staps that comes back at the same address. */
import { channelHash } from "../../src/relay/channel_hash.ts";
import { Process, stapsCommand } from "../../tools/process.ts";

/** Settings of {@linkcode RestartableStaps.start}. */
export interface RestartableOptions {
  /** Of several in one folder. */
  readonly name?: string;
  /** The text of the configuration file. */
  readonly config?: string;
  /** Further arguments. */
  readonly args?: readonly string[];
  /** A command to start it with. */
  readonly through?: readonly string[];
}

/** The real program, with its files in a folder of the test's. */
export class RestartableStaps implements AsyncDisposable {
  readonly socket: string;
  readonly #command: readonly string[];
  #process: Process | undefined;

  private constructor(file: string, options: RestartableOptions) {
    this.socket = `${file}.sock`;
    this.#command = [
      ...options.through ?? [],
      ...[Deno.execPath(), ...stapsCommand, "serve"],
      ...[`--config=${file}.conf`, `--socket=${this.socket}`],
      ...options.args ?? [],
    ];
  }

  /** Starts it in `folder`, and resolves when it listens. */
  static async start(
    folder: string,
    options: RestartableOptions = {},
  ): Promise<RestartableStaps> {
    const file = `${folder}/${options.name ?? "staps"}`;
    await Deno.writeTextFile(`${file}.conf`, options.config ?? "");
    const staps = new RestartableStaps(file, options);
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
