/** nginx with the configuration that we ship, over all nodes in turn. */
import { eventually } from "../../tools/eventually.ts";
import { accepts, freePort } from "../../tools/folder.ts";
import { Process } from "../../tools/process.ts";
import { writeNginxConfig } from "../helpers/nginx.ts";
import { childrenOf } from "../helpers/resident.ts";
import type { Node } from "./node.ts";

/** The header in which it says where a client got to. */
const nodeHeader = "x-node";

/** A frontend that can be stopped and started again. */
export class Frontend implements AsyncDisposable {
  readonly port = freePort();
  #process: Process | undefined;

  private constructor(
    readonly folder: string,
    readonly nodes: readonly Node[],
  ) {}

  /** Starts one in `folder`, in front of `nodes`. */
  static async start(
    folder: string,
    nodes: readonly Node[],
  ): Promise<Frontend> {
    await Deno.mkdir(folder);
    // Its workers have another user.
    await Deno.chmod(folder, 0o755);
    const frontend = new Frontend(folder, nodes);
    const servers = nodes.map(({ socket }) =>
      `    server unix:${socket} max_fails=0;\n`
    );
    const retry = "add_header Retry-After $staps_retry_after always;";
    await writeNginxConfig(folder, frontend.port, {
      socket: nodes[0]!.socket,
      replace: [
        [servers[0]!, servers.join("")],
        // All clients have one address here.
        ["staps_connections 1000;", "staps_connections 65535;"],
        ["rate=50r/s", "rate=100000r/s"],
        [retry, `${retry} add_header ${nodeHeader} $upstream_addr always;`],
      ],
    });
    await frontend.start();
    return frontend;
  }

  /** Starts it again, and resolves when it accepts connections. */
  async start(): Promise<void> {
    const config = `${this.folder}/nginx.conf`;
    const started = new Process("nginx", ["-p", this.folder, "-c", config]);
    this.#process = started;
    await eventually(() => {
      if (started.ended) throw new Error(`nginx has ended: ${started.output}`);
      return accepts(this.port);
    }, "nginx to accept connections");
  }

  /** Reads its configuration again, and resolves when it has new workers. */
  async reload(): Promise<void> {
    const { pid } = this.#process!;
    const before = await childrenOf(pid);
    this.#process!.signal("SIGHUP");
    await eventually(
      async () => (await childrenOf(pid)).some((one) => !before.includes(one)),
      "new workers of nginx",
    );
  }

  /** Stops it at once, which cuts every connection. */
  async stop(): Promise<void> {
    await this.#process?.stop("SIGTERM");
  }

  /** Gets the index of the node that a client got to, from the headers of its 101. */
  nodeOf(headers: Headers): number {
    const address = headers.get(nodeHeader);
    return this.nodes.findIndex(({ socket }) => address === `unix:${socket}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Killed, the master would leave its workers behind.
    await this.stop();
  }
}
