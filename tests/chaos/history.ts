/**
 * What happened in a run: one file with one line per event, in the order in
 * which they happened, from which the verdict can be had again and again.
 *
 * One process writes it, so an event whose line comes first happened first; the
 * times are for windows and for people. A line is a JSON array: the time, the
 * name of the event, and its values in the order of {@linkcode fields}.
 *
 * Channels, connections and nodes are numbers here. A channel's path, which is
 * a secret, isn't in a history.
 */
import { crc32 } from "node:zlib";
import type { FaultKind } from "./excuses.ts";

/** Whether a message is text or binary. */
export type MessageKind = "text" | "binary";

/**
 * Something that happened. `connection` and `publisher` are numbers of
 * connections, which are never used again; so are those of channels.
 */
export type Event =
  & {
    /** Milliseconds since the history began. Set by {@linkcode History.add}. */
    readonly timeMs: number;
  }
  & HistoryEvent;

/** An event without its time. */
export type HistoryEvent =
  /** The first line. */
  | { readonly event: "begin"; readonly seed: number; readonly date: string }
  /** A client is about to connect. `door` is the index of its way in. */
  | {
    readonly event: "dial";
    readonly connection: number;
    readonly channel: number;
    readonly door: number;
  }
  /** Its handshake was answered with 101: it has joined. `node` is -1 if unknown. */
  | {
    readonly event: "open";
    readonly connection: number;
    readonly node: number;
  }
  /** Its handshake ended in another way: an HTTP status, or 0 for none at all. */
  | {
    readonly event: "refused";
    readonly connection: number;
    readonly status: number;
    readonly reason: string;
  }
  /**
   * A message is handed to the operating system, or waits for that. `number`
   * counts the connection's messages from 1. A message too short to carry the
   * number isn't `named`.
   */
  | {
    readonly event: "send";
    readonly connection: number;
    readonly number: number;
    readonly named: boolean;
    readonly kind: MessageKind;
    readonly bytes: number;
    readonly digest: number;
  }
  /** A message came. `publisher` and `number` are as it says itself, both 0 if it carries none. */
  | {
    readonly event: "receive";
    readonly connection: number;
    readonly publisher: number;
    readonly number: number;
    readonly kind: MessageKind;
    readonly bytes: number;
    readonly digest: number;
  }
  /** A client ends its connection: with a close frame of `code` (1005 for an empty one), or with none. */
  | {
    readonly event: "leave";
    readonly connection: number;
    readonly how: "close" | "reset";
    readonly code: number;
  }
  /**
   * A connection has ended. `by` is who began: the client (its close frame was
   * answered with `code`, or it reset the connection), the server (with a close
   * frame), or nobody: it ended without a close frame, with code 1006.
   */
  | {
    readonly event: "close";
    readonly connection: number;
    readonly by: "client" | "server" | "nobody";
    readonly code: number;
    readonly reason: string;
  }
  /** A client stops reading, for so many milliseconds. */
  | {
    readonly event: "stall";
    readonly connection: number;
    readonly ms: number;
  }
  /** It reads again. */
  | { readonly event: "resume"; readonly connection: number }
  /**
   * The channel's publishers have stopped, and its clients were waited for:
   * whoever is open has everything. The channel ends after this.
   */
  | { readonly event: "settled"; readonly channel: number }
  /** A fault begins. `fault` is a number of its own, `node` the one that it hits, -1 for all. */
  | {
    readonly event: "fault";
    readonly fault: number;
    readonly kind: FaultKind;
    readonly node: number;
  }
  /** The fault is over, though not yet what follows from it. */
  | { readonly event: "healed"; readonly fault: number };

/** The order of each event's values in a line. */
const fields: {
  [E in HistoryEvent as E["event"]]: readonly Exclude<keyof E, "event">[];
} = {
  begin: ["seed", "date"],
  dial: ["connection", "channel", "door"],
  open: ["connection", "node"],
  refused: ["connection", "status", "reason"],
  send: ["connection", "number", "named", "kind", "bytes", "digest"],
  receive: ["connection", "publisher", "number", "kind", "bytes", "digest"],
  leave: ["connection", "how", "code"],
  close: ["connection", "by", "code", "reason"],
  stall: ["connection", "ms"],
  resume: ["connection"],
  settled: ["channel"],
  fault: ["fault", "kind", "node"],
  healed: ["fault"],
};

/** Gets the short digest of a message's whole payload, CRC-32. */
export function digest(payload: Uint8Array): number {
  return crc32(payload);
}

/** Gets an event's line, without a line feed. */
export function formatEvent(event: Event): string {
  const values = event as unknown as Record<string, unknown>;
  return JSON.stringify([
    Math.round(event.timeMs * 10) / 10,
    event.event,
    ...fields[event.event].map((field) => values[field]),
  ]);
}

/**
 * Gets the event of a line.
 *
 * @throws {SyntaxError} If the line isn't one.
 */
export function parseEvent(line: string): Event {
  const [timeMs, event, ...values] = JSON.parse(line) as [
    number,
    keyof typeof fields,
    ...unknown[],
  ];
  const names = fields[event];
  if (names?.length !== values.length) {
    throw new SyntaxError(`Expected an event of a history, got "${line}"`);
  }
  const parsed: Record<string, unknown> = { timeMs, event };
  for (const [i, name] of names.entries()) parsed[name] = values[i];
  return parsed as unknown as Event;
}

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
  /** The file that it is written to. */
  readonly path: string;
  readonly #file: Deno.FsFile;
  readonly #onEvent: ((event: Event) => void) | undefined;
  readonly #startMs = performance.now();
  #buffer = "";
  #closed = false;
  #lastFault = 0;
  #lastConnection = 0;
  #lastChannel = 0;

  private constructor(options: HistoryOptions) {
    this.path = options.path;
    this.#onEvent = options.onEvent;
    this.#file = Deno.openSync(options.path, {
      write: true,
      create: true,
      truncate: true,
    });
  }

  /** Begins a history with the event `begin`. */
  static begin(options: HistoryOptions): History {
    const history = new History(options);
    history.add({
      event: "begin",
      seed: options.seed,
      date: new Date().toISOString(),
    });
    return history;
  }

  /** Milliseconds since it began: the clock of its events. */
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
    const full = Object.assign(event, { timeMs: this.nowMs }) as Event;
    this.#buffer += formatEvent(full) + "\n";
    if (this.#buffer.length >= bufferLength) this.flush();
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
  flush(): void {
    const bytes = new TextEncoder().encode(this.#buffer);
    this.#buffer = "";
    for (let done = 0; done < bytes.length;) {
      done += this.#file.writeSync(bytes.subarray(done));
    }
  }

  /** Writes the rest and closes the file. Safe to call twice. */
  close(): void {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Reads a history's events, one after the other. A last line that was cut off is left out. */
export async function* readHistory(path: string): AsyncGenerator<Event> {
  using file = await Deno.open(path);
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(256 * 1024);
  let rest = "";
  for (let got; (got = await file.read(chunk)) !== null;) {
    const text = rest +
      decoder.decode(chunk.subarray(0, got), { stream: true });
    const lines = text.split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield parseEvent(line);
  }
}
