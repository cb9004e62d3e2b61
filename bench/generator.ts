/** The load generator as the rest of the benchmark sees it: a process that does as it is told. */
import type { Commands } from "./load/main.ts";

/** Descriptors for the largest workload: root may raise its own limit, others get what they have. */
const descriptors = 65536;

/** Gets a command that runs `args` with as many descriptors as possible. */
export function withManyDescriptors(args: string[]): string[] {
  return [
    "sh",
    "-c",
    `ulimit -n ${descriptors} 2>/dev/null || ulimit -n $(ulimit -Hn); exec "$@"`,
    "sh",
    ...args,
  ];
}

/** A load generator's process. */
export class Generator implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: ReadableStreamDefaultReader<string>;
  #text = "";

  constructor() {
    const script = new URL("load/main.ts", import.meta.url).pathname;
    // A young generation large enough keeps its own collections out of the latencies.
    const run = [
      Deno.execPath(),
      "run",
      "--allow-all",
      "--v8-flags=--max-semi-space-size=64",
      script,
    ];
    const [command, ...args] = withManyDescriptors(run);
    this.#process = new Deno.Command(command!, {
      args,
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#output = this.#process.stdout.pipeThrough(new TextDecoderStream())
      .getReader();
  }

  /**
   * Gets a command's answer. One at a time.
   *
   * @throws {Error} If it fails, with the generator's reason.
   */
  async tell<Name extends keyof Commands>(
    name: Name,
    input: Commands[Name][0],
  ): Promise<Commands[Name][1]> {
    await this.#input.write(
      new TextEncoder().encode(JSON.stringify([name, input]) + "\n"),
    );
    while (!this.#text.includes("\n")) {
      const { value, done } = await this.#output.read();
      if (done) {
        throw new Error("The load generator ended: its reason stands above");
      }
      this.#text += value;
    }
    const end = this.#text.indexOf("\n");
    const { result, error } = JSON.parse(this.#text.slice(0, end));
    this.#text = this.#text.slice(end + 1);
    if (error !== undefined) throw new Error(error);
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#process.status;
  }
}
