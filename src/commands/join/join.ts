/** `staps join`: a client for people and scripts. */
import type { JoinCommand } from "../cli.ts";
import { AdminError, StartupError, UsageError } from "../../common/errors.ts";
import type { Message } from "../../relay/message.ts";
import { harmless, painter, writeAll } from "../../common/terminal.ts";
import { ConnectError, type Ended, Link, maxMessageBytes } from "./link.ts";

/** The streams of a process, and what its environment says. */
export interface JoinContext {
  readonly stdin: { readonly readable: ReadableStream<Uint8Array> };
  readonly stdout: Output;
  readonly stderr: Output;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGINT or SIGTERM; the reason is the exit status. */
  readonly interrupted: AbortSignal;
}

interface Output {
  write(bytes: Uint8Array): Promise<number>;
  isTerminal(): boolean;
}

/** The exit statuses of `staps join`, by what ended it; the table in docs/commands.md. */
export const joinStatus = {
  /** It ended as asked: at the end of the input, or after `-n` messages. */
  done: 0,
  /** It couldn't connect, or not print what came. */
  failed: 1,
  /** The server stops or restarts: 1001, 1012, 1013. */
  comeBack: 3,
  /** What was published is refused: 1003, 1007, 1008, 1009. */
  refused: 4,
  /** Messages may have been missed: 4000, 4001. */
  missed: 5,
  /** The connection was lost, or closed with any other code. */
  lost: 6,
} as const;

/** Standard input that isn't what it should be. Exit status 65 (EX_DATAERR, sysexits.h). */
export class InputError extends AdminError {
  readonly exitCode = 65;
}

/** What may wait to be printed, in bytes. */
const maxUnprintedBytes = 64 * 1024 * 1024;
/** The first wait before connecting again, and the longest, in milliseconds. */
const minRetryMs = 500;
const maxRetryMs = 30_000;
/** The longest wait that a server may ask for, in milliseconds. */
const maxAskedRetryMs = 600_000;
/** After as many failures in a row it gives up. */
const maxFailures = 20;

/**
 * Publishes what comes from standard input and prints what comes from others,
 * until the command is done. Gets the exit status, one of {@linkcode joinStatus}.
 *
 * @throws {UsageError} If there is no URL, or one that can't be used.
 * @throws {StartupError} If the connection can't be made.
 * @throws {InputError} If the input can't be published.
 */
export async function join(
  command: JoinCommand,
  context: JoinContext,
): Promise<number> {
  const url = channelUrl(command, context.environment.STAPS_URL);
  return await new Session(command, { ...context, url }).run();
}

/**
 * Gets the exit status for a connection that ended with `code`, as far as
 * staps join didn't end it itself.
 */
export function statusOfClose(code: number): number {
  if ([1001, 1012, 1013].includes(code)) return joinStatus.comeBack;
  if ([1003, 1007, 1008, 1009].includes(code)) return joinStatus.refused;
  if ([4000, 4001].includes(code)) return joinStatus.missed;
  return joinStatus.lost;
}

/**
 * Gets how long to wait before connecting again, in milliseconds: what the
 * server asks for (`retry=MILLISECONDS` in a close's reason), else 500 ms
 * doubling with every failure to 30 s, ± 20 % so that many don't come at once.
 */
export function retryDelayMs(
  reason: string,
  { failures, random = Math.random() }: { failures: number; random?: number },
): number {
  const asked = /(?:^|[ ,;])retry=([0-9]{1,9})\b/.exec(reason)?.[1];
  if (asked !== undefined) return Math.min(Number(asked), maxAskedRetryMs);
  const delayMs = Math.min(maxRetryMs, minRetryMs * 2 ** failures);
  return Math.round(delayMs * (0.8 + 0.4 * random));
}

/** Gets the URL to connect to. Errors don't show it: it is a secret. */
export function channelUrl(
  { url, socket }: Pick<JoinCommand, "url" | "socket">,
  fromEnvironment: string | undefined,
): string {
  const text = url ?? fromEnvironment ?? "";
  if (text === "") {
    throw new UsageError("Cannot join: there is no URL", {
      hint: 'give one, such as the one that "staps url" prints',
    });
  }
  if (socket !== undefined && text.startsWith("/")) {
    return `ws://localhost${text.replace(/#.*/s, "")}`;
  }
  const parsed = URL.parse(text);
  if (parsed?.protocol !== "ws:" && parsed?.protocol !== "wss:") {
    const scheme = parsed?.protocol.replace(/^http/, "ws");
    throw new UsageError(
      parsed === null && /^wss?:/i.test(text)
        ? "Cannot join: expected a URL with a host, and a port below 65536 if any"
        : "Cannot join: expected a URL that begins with ws:// or wss://",
      parsed?.protocol.startsWith("http")
        ? { hint: `${scheme}// instead of ${parsed.protocol}//` }
        : text.startsWith("/")
        ? { hint: "a path alone needs --socket" }
        : {},
    );
  }
  // A fragment never leaves a client, and WebSockets refuse it.
  parsed.hash = "";
  return parsed.href;
}

/** One run of the command, over one connection after the other. */
class Session {
  readonly #command: JoinCommand;
  readonly #context: JoinContext & { readonly url: string };
  readonly #paint;
  #link = Promise.withResolvers<Link>();
  /** After as many printed messages it is done. */
  readonly #limit: number;
  #printed = 0;
  #unprintedBytes = 0;
  #printing: Promise<void> = Promise.resolve();
  /** Notes and warnings: the last one tells why it ends, and mustn't be lost by that. */
  #noting: Promise<void> = Promise.resolve();
  /** Resolves with the exit status when there is nothing left to do. */
  readonly #done = Promise.withResolvers<number>();
  #isDone = false;

  constructor(
    command: JoinCommand,
    context: JoinContext & { readonly url: string },
  ) {
    this.#command = command;
    this.#context = context;
    this.#limit = command.count || Infinity;
    this.#paint = painter(context.stderr, context.environment.NO_COLOR);
    // Nobody waits for it before there is input.
    this.#link.promise.catch(() => {});
    void this.#done.promise.catch(() => {}).then(() => this.#isDone = true);
  }

  async run(): Promise<number> {
    const { interrupted } = this.#context;
    const interrupt = (): void => this.#done.resolve(interrupted.reason);
    if (interrupted.aborted) interrupt();
    interrupted.addEventListener("abort", interrupt);
    void this.#publishInput();
    void this.#stayConnected();
    try {
      return await this.#done.promise;
    } finally {
      interrupted.removeEventListener("abort", interrupt);
      await this.#end();
    }
  }

  /** Connects, and again if the command says so, until it is done. */
  async #stayConnected(): Promise<void> {
    let failures = 0;
    while (!this.#isDone) {
      let ended: Ended;
      const link = new Link(this.#context.url, this.#command.socket);
      link.onMessage = (message) => this.#receive(message);
      try {
        await link.opened;
        failures = 0;
        this.#note("joined");
        this.#link.resolve(link);
        ended = await link.ended;
        if (this.#isDone) return;
        this.#link = Promise.withResolvers();
        this.#report(ended, link.unsentBytes);
        const status = statusOfClose(ended.code);
        if (!this.#command.reconnect || status === joinStatus.refused) {
          this.#done.resolve(status);
          return;
        }
      } catch (error) {
        if (!(error instanceof ConnectError)) return this.#done.reject(error);
        failures++;
        if (
          !this.#command.reconnect || error.permanent || failures >= maxFailures
        ) {
          this.#done.reject(
            new StartupError(error.message, {
              cause: error,
              ...(error.hint === undefined ? {} : { hint: error.hint }),
            }),
          );
          return;
        }
        this.#warn(error.message);
        ended = { code: 1006, reason: "" };
      }
      const delayMs = retryDelayMs(ended.reason, { failures });
      this.#note(`connecting again in ${(delayMs / 1000).toFixed(1)} s`);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
    }
  }

  async #publishInput(): Promise<void> {
    const { binary, count } = this.#command;
    const { readable } = this.#context.stdin;
    try {
      for await (
        const message of binary ? readWhole(readable) : readLines(readable)
      ) {
        // One that is closing takes nothing more: wait for the next.
        while (!this.#isDone) {
          const link = await this.#link.promise;
          if (await link.send(message)) break;
          await link.ended;
          // Let #stayConnected() see it first.
          await new Promise((resolve) => setTimeout(resolve));
        }
      }
      if (count !== undefined) return;
      const link = await this.#link.promise;
      // If it ends before all is written, that is how the command ends.
      if (await link.settled()) this.#done.resolve(joinStatus.done);
    } catch (error) {
      this.#done.reject(error);
    }
  }

  #receive(message: Message): void {
    if (this.#isDone || this.#printed === this.#limit) return;
    const content = this.#shown(message);
    if (content === undefined) return;
    this.#printed++;
    this.#unprintedBytes += content.length;
    if (this.#unprintedBytes > maxUnprintedBytes) {
      this.#done.reject(
        new StartupError(
          `Cannot print: the output is read too slowly, and more than ${
            maxUnprintedBytes / 1024 / 1024
          } MiB wait for it`,
        ),
      );
      return;
    }
    const { stdout } = this.#context;
    const isLast = this.#printed === this.#limit;
    this.#printing = this.#printing.then(async () => {
      await writeAll(stdout, content);
      this.#unprintedBytes -= content.length;
      if (isLast) this.#done.resolve(joinStatus.done);
    }).catch((error) => {
      // `staps join URL | head -n 1`: whoever reads has had enough.
      if (error instanceof Deno.errors.BrokenPipe) {
        this.#done.resolve(joinStatus.done);
      } else this.#done.reject(error);
    });
  }

  /** Gets `message` as it is printed, or undefined if it can't be. */
  #shown(message: Message): string | Uint8Array | undefined {
    const { binary } = this.#command;
    const { stdout, environment } = this.#context;
    const isText = typeof message === "string";
    if (stdout.isTerminal()) {
      const mark = painter(stdout, environment.NO_COLOR)("good", "<");
      const shown = isText
        ? message.split("\n").map(harmless).join("\n  ")
        : `(${message.byteLength} bytes of binary data)`;
      return `${mark} ${shown}\n`;
    }
    if (isText) return binary ? message : `${message}\n`;
    if (binary) return new Uint8Array(message);
    this.#warn(
      `${message.byteLength} bytes of binary data aren't printed, --binary does that`,
    );
    return undefined;
  }

  /** Writes out what there is, and says goodbye. */
  async #end(): Promise<void> {
    const link = await Promise.race([this.#link.promise, undefined]);
    await link?.close();
    await Promise.race([
      Promise.all([this.#printing, this.#noting]),
      new Promise((resolve) => setTimeout(resolve, 1000)),
    ]);
  }

  #report({ code, reason }: Ended, unsentBytes: number): void {
    this.#warn(
      code === 1006 || code === 1005
        ? "the connection was lost"
        : `closed by the server: ${code} ${harmless(reason)}`.trimEnd(),
    );
    if (unsentBytes > 0) {
      this.#warn(`${unsentBytes} bytes may not have been published`);
    }
  }

  /** For people: on a terminal only. */
  #note(text: string): void {
    if (!this.#context.stderr.isTerminal()) return;
    this.#print(this.#paint("quiet", `staps: ${text}`));
  }

  #warn(text: string): void {
    this.#print(this.#paint("doubtful", `staps: ${text}`));
  }

  #print(line: string): void {
    this.#noting = this.#noting
      .then(() => writeAll(this.#context.stderr, `${line}\n`))
      // Nobody reads it.
      .catch(() => {});
  }
}

/** Gets each line of `input`; the last one may lack its line feed. */
async function* readLines(
  input: ReadableStream<Uint8Array>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let rest = "";
  const decode = (chunk?: Uint8Array): string => {
    try {
      return chunk === undefined
        ? decoder.decode()
        : decoder.decode(chunk, { stream: true });
    } catch (error) {
      throw new InputError("Cannot publish the input: it isn't UTF-8", {
        cause: error,
        hint: "--binary publishes any bytes",
      });
    }
  };
  for await (const chunk of input) {
    const lines = (rest + decode(chunk)).split("\n");
    rest = lines.pop()!;
    if (rest.length > maxMessageBytes) throw tooLong("a line");
    yield* lines;
  }
  rest += decode();
  if (rest !== "") yield rest;
}

/** Gets all of `input` as one message, or nothing if there is none. */
async function* readWhole(
  input: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    bytes += chunk.length;
    if (bytes > maxMessageBytes) throw tooLong("the input");
    chunks.push(new Uint8Array(chunk));
  }
  if (bytes > 0) yield new Uint8Array(await new Blob(chunks).arrayBuffer());
}

function tooLong(what: string): InputError {
  return new InputError(
    `Cannot publish ${what}: it has more than ${
      maxMessageBytes / 1024 / 1024
    } MiB, which no server takes`,
  );
}
