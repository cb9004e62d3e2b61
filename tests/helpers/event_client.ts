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
  readonly #lines: AsyncIterator<string>;
  readonly #resources: DisposableStack;

  private constructor(response: Response, resources: DisposableStack) {
    this.response = response;
    this.#lines = linesOf(response.body!);
    this.#resources = resources;
  }

  /** Connects, and gets the client once the response has begun. */
  static async connect(
    { socket }: HttpTarget,
    path: string,
  ): Promise<EventClient> {
    using resources = new DisposableStack();
    const client = resources.use(Deno.createHttpClient({
      proxy: { transport: "unix", path: socket },
    }));
    const abort = new AbortController();
    resources.defer(() => abort.abort());
    const response = await fetch(`http://localhost${path}`, {
      headers: { Accept: "text/event-stream" },
      signal: abort.signal,
      client,
    });
    return new EventClient(response, resources.move());
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
    const data: string[] = [];
    while (true) {
      const { done, value: line } = await this.#lines.next();
      if (done) return undefined;
      const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line)!;
      if (line === "" && data.length > 0) {
        return { type: type || "message", data: data.join("\n") };
      } else if (line === "") type = "";
      else if (field === "") this.comments++;
      else if (field === "event") type = value!;
      else if (field === "data") data.push(value!);
      else if (field === "retry") this.retryMs = Number(value);
    }
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
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
