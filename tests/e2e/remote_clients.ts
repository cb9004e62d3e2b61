/**
 * WebSocket clients in a process of their own, such as one in another network:
 * `RemoteClients` here, and the process that it starts, told what to do by lines
 * of JSON on standard input, and telling what happens in the same way.
 */
import { eventually } from "../../tools/eventually.ts";

/** What happened to a client. */
export interface RemoteEvent {
  readonly client: string;
  readonly type: "open" | "message" | "close";
  readonly data?: string;
  readonly code?: number;
  readonly reason?: string;
}

interface Order {
  readonly client: string;
  readonly open?: string;
  readonly send?: string;
}

/** The clients of one process. It is killed on disposal. */
export class RemoteClients implements AsyncDisposable {
  /** Everything that has happened, in order. */
  readonly events: RemoteEvent[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #read: Promise<void>;

  /** Starts them through a command such as nsenter(1). */
  constructor(through: readonly string[]) {
    const [command, ...args] = [
      ...through,
      Deno.execPath(),
      "run",
      "--allow-net",
      "--no-lock",
      import.meta.filename!,
    ];
    this.#child = new Deno.Command(command!, {
      args,
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#read = this.#collect();
  }

  /** Opens a client, and resolves when it is open. */
  async open(client: string, url: string): Promise<void> {
    await this.#order({ client, open: url });
    await this.happened(client, ({ type }) => type === "open");
  }

  /** Sends a text. */
  send(client: string, text: string): Promise<void> {
    return this.#order({ client, send: text });
  }

  /** Resolves when something that `matches` has happened to `client`. */
  happened(
    client: string,
    matches: (event: RemoteEvent) => boolean,
  ): Promise<RemoteEvent> {
    return eventually(
      () =>
        this.events.find((event) => event.client === client && matches(event)),
      () => `an event of ${client}, got ${JSON.stringify(this.events)}`,
    ) as Promise<RemoteEvent>;
  }

  /** Checks that what `from` sends reaches `to`. */
  async talk(from: string, to: string): Promise<void> {
    const text = crypto.randomUUID();
    await this.send(from, text);
    await this.happened(to, ({ data }) => data === text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#input.abort().catch(() => {});
    await this.#read;
  }

  #order(order: Order): Promise<void> {
    return this.#input.write(
      new TextEncoder().encode(`${JSON.stringify(order)}\n`),
    );
  }

  async #collect(): Promise<void> {
    for await (const line of linesOf(this.#child.stdout)) {
      this.events.push(JSON.parse(line));
    }
  }
}

async function* linesOf(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

async function main(): Promise<void> {
  const sockets = new Map<string, WebSocket>();
  const tell = (event: RemoteEvent): void => {
    Deno.stdout.writeSync(
      new TextEncoder().encode(`${JSON.stringify(event)}\n`),
    );
  };
  for await (const line of linesOf(Deno.stdin.readable)) {
    const { client, open, send } = JSON.parse(line) as Order;
    if (send !== undefined) sockets.get(client)!.send(send);
    if (open === undefined) continue;
    const socket = new WebSocket(open);
    sockets.set(client, socket);
    socket.onopen = () => tell({ client, type: "open" });
    socket.onmessage = ({ data }) => tell({ client, type: "message", data });
    socket.onclose = ({ code, reason }) =>
      tell({ client, type: "close", code, reason });
  }
}

if (import.meta.main) await main();
