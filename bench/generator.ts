/** The load generator as the rest of the benchmark sees it: a process that does as it is told. */
import { Process } from "../tools/process.ts";
import type { Commands } from "./load/main.ts";

/** Descriptors for the largest workload: root may raise its own limit, others get what they have. */
const descriptors = 65536;

/** Gets a command that runs `args` with as many descriptors as possible. */
export function withManyDescriptors(args: string[]): string[] {
  const script =
    `ulimit -n ${descriptors} 2>/dev/null || ulimit -n $(ulimit -Hn); exec "$@"`;
  return ["sh", "-c", script, "sh", ...args];
}

/** How long a command may take, in milliseconds: its own limits are shorter. */
const timeoutMs = 120_000;

/** A load generator's process, with the clients of one server, who leave on its disposal. */
export class Generator extends Process {
  #commands = 0;

  constructor() {
    const [command, ...args] = withManyDescriptors([
      Deno.execPath(),
      "run",
      "--allow-all",
      // A young generation large enough keeps its own collections out of the latencies.
      "--v8-flags=--max-semi-space-size=64",
      new URL("load/main.ts", import.meta.url).pathname,
    ]);
    super(command!, args, { stdin: "piped" });
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
    const id = ++this.#commands;
    await this.write(JSON.stringify([id, name, ...input]) + "\n");
    const line = new RegExp(`^${id} (.*)\n`, "m");
    const [, answer] = await this.printed(line, { timeoutMs });
    const { result, error } = JSON.parse(answer!);
    if (error !== undefined) throw new Error(error);
    return result;
  }
}
