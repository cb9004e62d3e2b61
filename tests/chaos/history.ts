/**
 * What happened in a run: one file with one line per event, in the order in
 * which they happened, from which the verdict can be had again and again. A
 * line is an {@linkcode Event} as JSON; its time is for windows and for people.
 *
 * Channels, connections and nodes are numbers here. A channel's path, which is
 * a secret, isn't in a history.
 */
import type { FaultKind } from "./excuses.ts";

/** Whether a message is text or binary. */
export type MessageKind = "text" | "binary";

/** What a message holds, without its bytes. */
export interface Content {
  readonly kind: MessageKind;
  readonly bytes: number;
  /** The CRC-32 of the whole payload. */
  readonly digest: number;
}

/**
 * What each event tells. `connection` and `publisher` are numbers of
 * connections, which are never used again; so are those of channels and faults.
 */
interface Details {
  /** The first line. */
  begin: { seed: number; date: string };
  /** A client is about to connect. `door` is the index of its way in. */
  dial: { connection: number; channel: number; door: number };
  /** Its handshake was answered with 101: it has joined. `node` is -1 if unknown. */
  open: { connection: number; node: number };
  /** Its handshake ended in another way: an HTTP status, or 0 for none at all. */
  refused: { connection: number; status: number; reason: string };
  /**
   * A message is handed to the operating system, or waits for that. `number`
   * counts the connection's messages from 1. A message too short to carry the
   * number isn't `named`.
   */
  send: Content & { connection: number; number: number; named: boolean };
  /** A message came. `publisher` and `number` are as it says itself, both 0 if it carries none. */
  receive: Content & { connection: number; publisher: number; number: number };
  /** A client ends its connection: with a close frame of `code` (1005 for an empty one), or with none. */
  leave: { connection: number; how: "close" | "reset"; code: number };
  /**
   * A connection has ended. `by` is who began: the client (its close frame was
   * answered with `code`, or it reset the connection), the server (with a close
   * frame), or nobody: it ended without a close frame, with code 1006.
   */
  close: {
    connection: number;
    by: "client" | "server" | "nobody";
    code: number;
    reason: string;
  };
  /** A client stops reading, for so many milliseconds: not long enough to be closed for it. */
  stall: { connection: number; ms: number };
  /**
   * The channel's publishers have stopped, and its clients were waited for:
   * whoever is open has everything. The channel ends after this.
   */
  settled: { channel: number };
  /** A fault begins. `node` is the one that it hits, -1 for all. */
  fault: { fault: number; kind: FaultKind; node: number };
  /** The fault is over, though not yet what follows from it. */
  healed: { fault: number };
}

/** An event without its time. */
export type HistoryEvent = {
  [E in keyof Details]: { readonly event: E } & Readonly<Details[E]>;
}[keyof Details];

/** Something that happened, and when: in milliseconds since the history began. */
export type Event = { readonly timeMs: number } & HistoryEvent;

/** How much may wait in memory for the file, in characters. */
const bufferLength = 64 * 1024;

/** Settings of {@linkcode History.begin}. */
export interface HistoryOptions {
  /** The file, which is made anew. */
  readonly path: string;
  /** The seed of the run. */
  readonly seed: number;
  /** Called with every event, for a checker that keeps pace. */
  readonly onEvent?: (event: Event) => void;
}

/** A history being written. Its disposal writes the rest and closes the file. */
export class History implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #onEvent: HistoryOptions["onEvent"];
  readonly #startMs = performance.now();
  #buffer = "";
  #closed = false;
  #lastFault = 0;
  #lastConnection = 0;
  #lastChannel = 0;

  private constructor({ path, onEvent }: HistoryOptions) {
    this.#onEvent = onEvent;
    const options = { write: true, create: true, truncate: true };
    this.#file = Deno.openSync(path, options);
  }

  /** Begins one. */
  static begin(options: HistoryOptions): History {
    const history = new History(options);
    const date = new Date().toISOString();
    history.add({ event: "begin", seed: options.seed, date });
    return history;
  }

  /** The time since it began, in milliseconds. */
  get nowMs(): number {
    return performance.now() - this.#startMs;
  }

  /** Gets the number of a new connection. */
  newConnection(): number {
    return ++this.#lastConnection;
  }

  /** Gets the number of a new channel. */
  newChannel(): number {
    return ++this.#lastChannel;
  }

  /** Adds what happens right now. Does nothing once closed. */
  add(event: HistoryEvent): void {
    if (this.#closed) return;
    const full: Event = { timeMs: Math.round(this.nowMs * 10) / 10, ...event };
    this.#buffer += JSON.stringify(full) + "\n";
    if (this.#buffer.length >= bufferLength) this.#flush();
    this.#onEvent?.(full);
  }

  /**
   * Tells that a fault begins; call it right before. Gets a function to call
   * right after its end.
   *
   * @param node The index of the node that it hits; left out, all may feel it.
   */
  fault(kind: FaultKind, node = -1): () => void {
    const fault = ++this.#lastFault;
    this.add({ event: "fault", fault, kind, node });
    return () => this.add({ event: "healed", fault });
  }

  /** Writes what waits in memory. */
  #flush(): void {
    const bytes = new TextEncoder().encode(this.#buffer);
    this.#buffer = "";
    for (let done = 0; done < bytes.length;) {
      done += this.#file.writeSync(bytes.subarray(done));
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#flush();
    this.#closed = true;
    this.#file.close();
  }
}

/** Reads a history's events, one after the other. A last line that was cut off is left out. */
export async function* readHistory(path: string): AsyncGenerator<Event> {
  const { readable } = await Deno.open(path);
  let rest = "";
  for await (const text of readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield JSON.parse(line) as Event;
  }
}
