/** A client of an event stream, which reads it as the specification says. */
import { within } from "../../tools/eventually.ts";
import type { HttpTarget } from "./http.ts";

/** An event (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation). */
export interface ServerEvent {
  readonly type: string;
  readonly data: string;
}

/** A connection to an event stream. */
export class EventClient implements Disposable {
  readonly response: Response;
  /** How many comment lines came. */
  comments = 0;
  /** The number of the last `retry`, in milliseconds. */
  retryMs: number | undefined;
  readonly #client: Deno.HttpClient;
  readonly #abort: AbortController;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    response: Response,
    { client, abort }: { client: Deno.HttpClient; abort: AbortController },
  ) {
    this.#client = client;
    this.#abort = abort;
    this.response = response;
    this.#lines = linesOf(response.body!);
  }

  /** Connects, and gets the client once the response has begun. */
  static async connect(
    { socket }: HttpTarget,
    path: string,
  ): Promise<EventClient> {
    const client = Deno.createHttpClient({
      proxy: { transport: "unix", path: socket },
    });
    const abort = new AbortController();
    const response = await fetch(`http://localhost${path}`, {
      headers: { Accept: "text/event-stream" },
      signal: abort.signal,
      client,
    });
    return new EventClient(response, { client, abort });
  }

  /** Gets the next event, or `undefined` at the end. */
  next(): Promise<ServerEvent | undefined> {
    return within(this.#next(), "an event");
  }

  /** Gets the next `count` events. */
  async take(count: number): Promise<(ServerEvent | undefined)[]> {
    const events = [];
    for (let i = 0; i < count; i++) events.push(await this.next());
    return events;
  }

  async #next(): Promise<ServerEvent | undefined> {
    let type = "";
    let data = "";
    while (true) {
      const { done, value: line } = await this.#lines.next();
      if (done) return undefined;
      if (line === "") {
        if (data !== "") {
          return { type: type || "message", data: data.slice(0, -1) };
        }
        type = "";
        continue;
      }
      const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line)!;
      if (field === "") this.comments++;
      else if (field === "event") type = value!;
      else if (field === "data") data += `${value}\n`;
      else if (field === "retry") this.retryMs = Number(value);
    }
  }

  [Symbol.dispose](): void {
    this.#abort.abort();
    this.#client.close();
  }
}

/** Gets the lines of `body`, which end with CR, LF or both. */
async function* linesOf(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string, void> {
  let rest = "";
  for await (const part of body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + part).split(/\r\n|\r|\n/);
    rest = lines.pop()!;
    yield* lines;
  }
}
