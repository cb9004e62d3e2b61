/**
 * The log on standard error.
 *
 * A record is one line whatever is in it. Lines are written in the background,
 * see {@linkcode LineWriter}: those that don't fit are dropped and counted, and
 * the count is logged as soon as there is room. A standard error that is gone
 * is no reason to end.
 *
 * Never give it a channel's path: see `channel_hash.ts`.
 */
import { LineWriter } from "./line_writer.ts";
import { escapeControls, writeAll } from "./terminal.ts";

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
  /** Replaces standard error, for tests; gets whole lines. */
  readonly write?: (text: string) => Promise<void>;
}

/** The longest text value in a record; what is longer is cut. */
const maxValueLength = 1024;

const ranks = { error: 0, warn: 1, info: 2, debug: 3 } as const;

/** Priorities of syslog, as sd-daemon(3) reads them. */
const priorities = { error: 3, warn: 4, info: 6, debug: 7 } as const;

/** The least important rank that is written; nothing is before {@linkcode configureLog}. */
let threshold = -1;
let formatLine: FormatLine = textLine;
let writer = makeWriter((text) => writeAll(Deno.stderr, text));

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
export function configureLog({ level, format, write }: LogOptions): void {
  formatLine = {
    auto: isJournal() ? journalLine : textLine,
    text: textLine,
    json: jsonLine,
    journal: journalLine,
  }[format];
  if (write !== undefined) writer = makeWriter(write);
  threshold = ranks[level];
}

function makeWriter(write: (text: string) => Promise<void>): LineWriter {
  return new LineWriter({
    write,
    onDropped: (lines) =>
      log.error("log lines dropped, standard error was read too slowly", {
        lines,
      }),
  });
}

let journalFound: boolean | undefined;

/**
 * Whether standard error is systemd's journal: `JOURNAL_STREAM` names its
 * device and inode (systemd.exec(5)). The variable alone says little, because
 * whatever a service starts inherits it, a desktop's terminals for example.
 */
function isJournal(): boolean {
  // Looked up once, at the first configureLog(): later the process may have
  // given up the permission.
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
  const line = formatLine({ level, message, fields: fields ?? {} });
  writer.add(`${escapeControls(line)}\n`);
  // Warnings and errors don't wait for others.
  if (ranks[level] <= ranks.warn) writer.hurry();
}

interface LogRecord {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

/** Makes text of a record, which may have characters to escape, as JSON does it. */
type FormatLine = (record: LogRecord) => string;

function textLine(record: LogRecord): string {
  return `${isoTime()} ${record.level} ${words(record)}`;
}

function journalLine(record: LogRecord): string {
  return `<${priorities[record.level]}>${words(record)}`;
}

function jsonLine({ level, message, fields }: LogRecord): string {
  const own = { time: isoTime(), level, message };
  // Own keys stand first, and fields don't replace them.
  return JSON.stringify({ ...own, ...fields, ...own }, (_key, value) => {
    if (typeof value === "bigint") return String(value);
    return typeof value === "string" ? cut(value) : value;
  });
}

/** `client joined client=7 reason="too big"` */
function words({ message, fields }: LogRecord): string {
  let text = cut(message);
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) text += ` ${name}=${word(value)}`;
  }
  return text;
}

/** Gets `value` as one word, in quotes if need be. */
function word(value: NonNullable<unknown> | null): string {
  if (typeof value !== "string") return String(value);
  const text = cut(value);
  return /^[\w.:/+-]+$/.test(text) ? text : JSON.stringify(text);
}

function cut(text: string): string {
  return text.length > maxValueLength
    ? `${text.slice(0, maxValueLength)}...`
    : text;
}

let lastTimeMs = NaN;
let lastTime = "";

/** Gets the time; that of the last record again where it is the same, for many come at once. */
function isoTime(): string {
  const nowMs = Date.now();
  if (nowMs !== lastTimeMs) {
    lastTime = new Date(nowMs).toISOString();
    lastTimeMs = nowMs;
  }
  return lastTime;
}
