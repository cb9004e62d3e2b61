/**
 * The log on standard error; the only code that knows LogTape.
 *
 * A record is one line whatever is in it. Lines wait in memory, up to
 * {@linkcode maxWaitingBytes}, and are written in the background: a reader of
 * standard error that stalls must not stall the clients. What doesn't fit is
 * dropped and counted, and the count is logged as soon as there is room. A
 * standard error that is gone is no reason to end.
 *
 * Never give it a channel's path: see `channel_hash.ts`.
 */
import { configureSync, getLogger, type LogRecord } from "@logtape/logtape";

/** How important a record is, the most important first. */
export type LogLevel = "error" | "warn" | "info" | "debug";

/** How a record is written; `auto` is `journal` under systemd, else `text`. */
export type LogFormat = "auto" | "text" | "json" | "journal";

/** What a record says beside its message. Those that are `undefined` are left out. */
export type LogFields = Readonly<
  Record<string, string | number | bigint | boolean | null | undefined>
>;

/** What {@linkcode configureLog} takes. */
export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** What `auto` is; otherwise {@linkcode isJournal} decides. */
  readonly journal?: boolean;
  /** Replaces standard error, for tests; gets whole lines. */
  readonly write?: (text: string) => Promise<void>;
}

/** What may wait to be written, in UTF-16 units. */
export const maxWaitingBytes = 1024 * 1024;

/** The longest text value in a record; what is longer is cut. */
const maxValueLength = 1024;

/**
 * How long lines wait for others to go along, in milliseconds: each write is a
 * trip to another thread, which costs more than a connect. Warnings and errors
 * don't wait.
 */
const gatherMs = 20;

const ranks = { error: 0, warn: 1, info: 2, debug: 3 } as const;
const logTapeLevels = {
  error: "error",
  warn: "warning",
  info: "info",
  debug: "debug",
} as const;

const logger = getLogger("staps");

/** The least important rank that is written; nothing is before {@linkcode configureLog}. */
let threshold = -1;

/** The log of this process. Quiet until {@linkcode configureLog} is called. */
export const log = {
  /** Something failed, and clients or the administrator feel it. */
  error(message: string, fields?: LogFields): void {
    emit("error", message, fields);
  },
  /** Something is wrong, and staps copes for now. */
  warn(message: string, fields?: LogFields): void {
    emit("warn", message, fields);
  },
  /** Something normal that happens once, or once for each client. */
  info(message: string, fields?: LogFields): void {
    emit("info", message, fields);
  },
  /** Something that happens for each message. */
  debug(message: string, fields?: LogFields): void {
    emit("debug", message, fields);
  },
  /** Whether records of `level` are written: ask before computing fields that cost something. */
  isEnabled(level: LogLevel): boolean {
    return ranks[level] <= threshold;
  },
  /** Resolves when everything logged so far is written, or after one second. For the end of the process. */
  flush(): Promise<void> {
    return writer.flush();
  },
};

/** Sets level and format, from now on. May be called again, as on a reload. */
export function configureLog(options: LogOptions): void {
  const { level, format, journal = isJournal() } = options;
  const name = format === "auto" ? (journal ? "journal" : "text") : format;
  const formatLine = formats[name];
  if (options.write !== undefined) writer = new LineWriter(options.write);
  const target = writer;
  const sink = (record: LogRecord): void => {
    target.add(formatLine(record));
    if (record.level !== "info" && record.level !== "debug") target.hurry();
  };
  // Says that a record isn't kept, which spares LogTape a copy of each: its own
  // sinks carry the same mark.
  Object.defineProperty(
    sink,
    Symbol.for("LogTape.sinkSnapshotPolicy.immediate"),
    { value: true },
  );
  configureSync({
    reset: true,
    sinks: { stderr: sink },
    loggers: [
      { category: "staps", sinks: ["stderr"], lowestLevel: "debug" },
      // LogTape's own: it speaks of sinks that fail, and this one doesn't.
      { category: ["logtape", "meta"], lowestLevel: "fatal" },
    ],
  });
  threshold = ranks[level];
}

let journalFound: boolean | undefined;

/**
 * Whether standard error is systemd's journal: `JOURNAL_STREAM` names its
 * device and inode (systemd.exec(5)). The variable alone says little, because
 * whatever a service starts inherits it, a desktop's terminals for example.
 */
function isJournal(): boolean {
  // Looked up once: later the process may have given up the permission.
  return journalFound ??= (() => {
    try {
      // Not fstat(2): loading node:fs takes a fifth of the start-up.
      const { dev, ino } = Deno.statSync("/proc/self/fd/2");
      return Deno.env.get("JOURNAL_STREAM") === `${dev}:${ino}`;
    } catch {
      return false;
    }
  })();
}

function emit(
  level: LogLevel,
  message: string,
  fields: LogFields | undefined,
): void {
  if (ranks[level] > threshold) return;
  // emit() takes the message as it is; the other methods would look for
  // placeholders in it.
  // With its category a record is taken as it is; without, as a copy that has one.
  const record: LogRecord = {
    category: logger.category,
    level: logTapeLevels[level],
    message: [message],
    rawMessage: message,
    timestamp: Date.now(),
    properties: fields ?? {},
  };
  logger.emit(record);
}

/** Priorities of syslog, as sd-daemon(3) reads them. */
const priorities = { error: 3, warning: 4, info: 6, debug: 7 } as const;

const formats: Record<
  Exclude<LogFormat, "auto">,
  (record: LogRecord) => string
> = {
  text: (record) => {
    return `${isoTime(record)} ${levelName(record)} ${words(record)}\n`;
  },
  journal: (record) => {
    const level = record.level as keyof typeof priorities;
    return `<${priorities[level] ?? 6}>${words(record)}\n`;
  },
  json: (record) => {
    const own = {
      time: isoTime(record),
      level: levelName(record),
      message: cut(record.message.join("")),
    };
    const fields = plainFields(record)
      .filter(([name]) => !Object.hasOwn(own, name))
      .map(([name, value]) => [
        name,
        typeof value === "bigint" ? String(value) : value,
      ]);
    return escapeControls(
      JSON.stringify({ ...own, ...Object.fromEntries(fields) }),
    ) + "\n";
  },
};

let lastTimestamp = NaN;
let lastTime = "";

/** Gets the record's time; that of the last one again where it is the same, for many come at once. */
function isoTime({ timestamp }: LogRecord): string {
  if (timestamp !== lastTimestamp) {
    lastTime = new Date(timestamp).toISOString();
    lastTimestamp = timestamp;
  }
  return lastTime;
}

function levelName({ level }: LogRecord): string {
  return level === "warning" ? "warn" : level;
}

/** `client joined client=7 reason="too big"` */
function words(record: LogRecord): string {
  let text = cut(record.message.join(""));
  for (const [name, value] of plainFields(record)) {
    text += ` ${name}=${typeof value === "number" ? value : word(value)}`;
  }
  return escapeControls(text);
}

/** Gets `value` as one word, in quotes if need be. */
function word(value: unknown): string {
  const text = String(value);
  return /^[\w.:/+-]+$/.test(text) ? text : JSON.stringify(text);
}

function plainFields({ properties }: LogRecord): [string, unknown][] {
  const fields = Object.entries(properties);
  let count = 0;
  for (const field of fields) {
    if (field[1] === undefined) continue;
    if (typeof field[1] === "string") field[1] = cut(field[1]);
    fields[count++] = field;
  }
  fields.length = count;
  return fields;
}

function cut(text: string): string {
  return text.length > maxValueLength
    ? `${text.slice(0, maxValueLength)}...`
    : text;
}

/** Replaces what would break a line or steer a terminal; as JSON has it, so that JSON stays JSON. */
function escapeControls(text: string): string {
  // Nearly all lines have none.
  if (!/[^\x20-\x7e]/.test(text)) return text;
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu,
    (character) =>
      character.split("").map((unit) =>
        `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
      ).join(""),
  );
}

/** Writes lines in order and in the background; never throws. */
class LineWriter {
  readonly #write: (text: string) => Promise<void>;
  #waiting = "";
  #dropped = 0;
  #writing: Promise<void> | undefined;
  /** Ends the wait for more lines. */
  #hurry: (() => void) | undefined;

  constructor(write: (text: string) => Promise<void>) {
    this.#write = write;
  }

  add(line: string): void {
    if (this.#waiting.length + line.length > maxWaitingBytes) {
      this.#dropped++;
      return;
    }
    this.#waiting += line;
    this.#writing ??= this.#writeAll();
  }

  /** Writes what waits without waiting for more. */
  hurry(): void {
    this.#hurry?.();
  }

  async flush(): Promise<void> {
    if (this.#writing === undefined) return;
    this.hurry();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, 1000);
    });
    await Promise.race([this.#writing, patience]);
    clearTimeout(timer);
  }

  async #writeAll(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, gatherMs);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#hurry = undefined;
    while (this.#waiting !== "") {
      const text = this.#waiting;
      this.#waiting = "";
      try {
        await this.#write(text);
      } catch {
        // Nobody reads it (EPIPE), and there is no other place to say so.
      }
      this.#reportDropped();
    }
    this.#writing = undefined;
  }

  #reportDropped(): void {
    if (this.#dropped === 0) return;
    const lines = this.#dropped;
    this.#dropped = 0;
    log.error("log lines dropped, standard error was read too slowly", {
      lines,
    });
  }
}

const encoder = new TextEncoder();

async function writeToStderr(text: string): Promise<void> {
  let bytes = encoder.encode(text);
  while (bytes.length > 0) {
    bytes = bytes.subarray(await Deno.stderr.write(bytes));
  }
}

let writer = new LineWriter(writeToStderr);
