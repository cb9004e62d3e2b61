/** Programs that a test runs: the real staps, and what it meets. */
import { eventTimeoutMs, within } from "./eventually.ts";
import { TempFolder } from "./folder.ts";

/** The repository's top folder. */
export const repository = new URL("..", import.meta.url).pathname.replace(
  /\/$/,
  "",
);

/** The arguments with which `Deno.execPath()` runs staps as users do. */
export const stapsCommand = [
  "run",
  "--allow-all",
  `--config=${repository}/deno.json`,
  `${repository}/main.ts`,
];

/** Settings of {@linkcode Process.start}. */
export interface ProcessOptions {
  /** Added to this process's own environment. */
  readonly env?: Record<string, string>;
  /** Only `env`, nothing of this process's own environment. */
  readonly clearEnv?: boolean;
  /** The working folder. */
  readonly cwd?: string;
  /** `piped`: what {@linkcode Process.write} gets; otherwise there is no input. */
  readonly stdin?: "piped" | "null";
  /** In a process group of its own, and signals go to all of that: for programs that start others. */
  readonly detached?: boolean;
}

/** A running program whose output is kept. It is killed on disposal. */
export class Process implements AsyncDisposable {
  readonly pid: number;
  /** Resolves when the program has ended and all of its output is here. */
  readonly status: Promise<Deno.CommandStatus>;
  /** Whether that is so. */
  ended = false;
  /** What the program has printed on stdout so far. */
  stdout = "";
  /** What the program has printed on stderr so far. */
  stderr = "";
  readonly #child: Deno.ChildProcess;
  readonly #options: ProcessOptions;
  /** Resolves, and is made anew, when there is more output. */
  #wake = Promise.withResolvers<void>();

  constructor(
    command: string,
    args: readonly string[],
    options: ProcessOptions = {},
  ) {
    this.#options = options;
    this.#child = new Deno.Command(command, {
      args: [...args],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      ...options,
    }).spawn();
    this.pid = this.#child.pid;
    this.status = this.#collect();
  }

  /** Both streams, stdout first. */
  get output(): string {
    return this.stdout + this.stderr;
  }

  /**
   * Resolves when the program has printed something that `pattern` matches.
   *
   * @throws {Error} If it ends without, or doesn't do so in `timeoutMs` milliseconds.
   */
  printed(
    pattern: RegExp,
    options: { timeoutMs?: number } = {},
  ): Promise<RegExpExecArray> {
    return this.#within(this.#match(pattern), `the output ${pattern}`, options);
  }

  async #match(pattern: RegExp): Promise<RegExpExecArray> {
    while (true) {
      const match = pattern.exec(this.stderr) ?? pattern.exec(this.stdout);
      if (match) return match;
      if (this.ended) {
        throw new Error(`The program ended without printing ${pattern}`);
      }
      await this.#wake.promise;
    }
  }

  /** As the function of that name; an error has the output so far. */
  async #within<T>(
    promise: Promise<T>,
    what: string,
    options: { timeoutMs?: number },
  ): Promise<T> {
    try {
      return await within(promise, what, options);
    } catch (error) {
      throw new Error(`${(error as Error).message}, got:\n${this.output}`, {
        cause: error,
      });
    }
  }

  /** Gives the program input, if it was started with `stdin: "piped"`. */
  async write(text: string): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    writer.releaseLock();
  }

  /** Ends the program's input. */
  async endInput(): Promise<void> {
    await this.#child.stdin.close();
  }

  /** Sends `signal`, if the program still runs. */
  signal(signal: Deno.Signal): void {
    if (this.ended) return;
    try {
      if (this.#options.detached) Deno.kill(-this.pid, signal);
      else this.#child.kill(signal);
    } catch (error) {
      // It has ended, and the last of its output is still on the way.
      if (
        !(error instanceof TypeError || error instanceof Deno.errors.NotFound)
      ) throw error;
    }
  }

  /** Sends `signal` and waits for the end, which must come in time. */
  stop(
    signal: Deno.Signal = "SIGTERM",
    options: { timeoutMs?: number } = {},
  ): Promise<Deno.CommandStatus> {
    this.signal(signal);
    return this.#within(this.status, `the end after ${signal}`, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
    if (this.#options.stdin === "piped") await this.endInput().catch(() => {});
  }

  async #collect(): Promise<Deno.CommandStatus> {
    const { stdout, stderr, status } = this.#child;
    await Promise.all([
      this.#read(stdout, (text) => this.stdout += text),
      this.#read(stderr, (text) => this.stderr += text),
    ]);
    const result = await status;
    this.ended = true;
    this.#wake.resolve();
    return result;
  }

  async #read(
    stream: ReadableStream<Uint8Array<ArrayBuffer>>,
    add: (text: string) => void,
  ): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      add(text);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers<void>();
    }
  }
}

/** Settings of {@linkcode startStaps}. */
export interface StapsOptions {
  /** The text of the configuration file; `--socket` is given besides. */
  readonly config?: string;
  /** Further arguments. */
  readonly args?: readonly string[];
  /** Added to the environment. */
  readonly env?: Record<string, string>;
  /** A command to start it with, such as `["setpriv", "--reuid=nobody"]`. */
  readonly through?: readonly string[];
}

/** A running staps, and the folder that is its own. */
export class Staps extends Process {
  /** The path of its unix socket. */
  readonly socket: string;
  readonly #folder: TempFolder;

  constructor(folder: TempFolder, options: StapsOptions) {
    const socket = `${folder.path}/staps.sock`;
    const [command, ...args] = [
      ...options.through ?? [],
      Deno.execPath(),
      ...stapsCommand,
      `--config=${folder.path}/staps.conf`,
      `--socket=${socket}`,
      ...options.args ?? [],
    ];
    super(command!, args, {
      env: { HOME: folder.path, DENO_DIR: denoDir(), ...options.env },
    });
    this.#folder = folder;
    this.socket = socket;
  }

  /** Its temporary folder. */
  get folder(): string {
    return this.#folder.path;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}

/**
 * Gets the folder of Deno's cache, which depends on HOME unless it is named
 * (https://docs.deno.com/runtime/reference/env_variables/).
 */
export function denoDir(): string {
  const { DENO_DIR, XDG_CACHE_HOME, HOME } = Deno.env.toObject();
  return DENO_DIR ?? `${XDG_CACHE_HOME ?? `${HOME}/.cache`}/deno`;
}

/**
 * Starts the real program with a configuration, a socket and a folder of its
 * own, and resolves when it listens.
 *
 * @throws {Error} If it ends, or doesn't say that it listens in time.
 */
export async function startStaps(options: StapsOptions = {}): Promise<Staps> {
  const staps = await spawnStaps(options);
  try {
    await staps.printed(/listening/);
    return staps;
  } catch (error) {
    await staps[Symbol.asyncDispose]();
    throw error;
  }
}

/** Starts the real program as {@linkcode startStaps}, without waiting for anything. */
export async function spawnStaps(options: StapsOptions = {}): Promise<Staps> {
  const folder = await TempFolder.make();
  await Deno.writeTextFile(`${folder.path}/staps.conf`, options.config ?? "");
  return new Staps(folder, options);
}

/** What a program that ran to its end left behind. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, which must come in `timeoutMs` milliseconds. */
export async function runProgram(
  command: string,
  args: readonly string[],
  { timeoutMs = eventTimeoutMs, ...options }:
    & ProcessOptions
    & { timeoutMs?: number } = {},
): Promise<Outcome> {
  await using program = new Process(command, args, options);
  const what = `the end of ${command} ${args.join(" ")}`;
  const { code } = await within(program.status, what, { timeoutMs });
  return { code, stdout: program.stdout, stderr: program.stderr };
}

/**
 * Runs a program to its end as {@linkcode runProgram} does.
 *
 * @throws {Error} If it fails; the message has the end of its output.
 */
export async function runOrThrow(
  command: string,
  args: readonly string[],
  options: ProcessOptions & { timeoutMs?: number } = {},
): Promise<void> {
  const { code, stdout, stderr } = await runProgram(command, args, options);
  if (code === 0) return;
  const end = (stdout + stderr).slice(-1500);
  throw new Error(`${command} ${args.join(" ")} ended with ${code}:\n${end}`);
}
