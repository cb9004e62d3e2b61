/** The load generator as the rest of the benchmark sees it: a process that does as it is told. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Commands } from "./load/main.ts";

/** Descriptors for the largest workload: root may raise its own limit, others get what they have. */
const descriptors = 65536;

/** Gets a command that runs `args` with as many descriptors as possible. */
export function withManyDescriptors(args: string[]): string[] {
  const script =
    `ulimit -n ${descriptors} 2>/dev/null || ulimit -n $(ulimit -Hn); exec "$@"`;
  return ["sh", "-c", script, "sh", ...args];
}

/** A load generator's process, with the clients of one server. */
export class Generator implements AsyncDisposable {
  readonly #process;
  readonly #ended: Promise<unknown>;
  readonly #answers: AsyncIterator<string>;

  constructor() {
    const [command, ...args] = withManyDescriptors([
      Deno.execPath(),
      "run",
      "--allow-all",
      // A young generation large enough keeps its own collections out of the latencies.
      "--v8-flags=--max-semi-space-size=64",
      new URL("load/main.ts", import.meta.url).pathname,
    ]);
    this.#process = spawn(command!, args, {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#ended = once(this.#process, "exit");
    const lines = createInterface({ input: this.#process.stdout });
    this.#answers = lines[Symbol.asyncIterator]();
  }

  /**
   * Gets a command's answer. One at a time.
   *
   * @throws {Error} If it fails, with the generator's reason.
   */
  async tell<Name extends keyof Commands>(
    name: Name,
    ...input: Parameters<Commands[Name]>
  ): Promise<ReturnType<Commands[Name]>> {
    this.#process.stdin.write(JSON.stringify([name, ...input]) + "\n");
    const { value, done } = await this.#answers.next();
    if (done) {
      throw new Error("The load generator ended: its reason stands above");
    }
    const { result, error } = JSON.parse(value);
    if (error !== undefined) throw new Error(error);
    return result;
  }

  /** Disconnects all clients at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.stdin.end();
    await this.#ended;
  }
}
