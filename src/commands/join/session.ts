/** A run of `staps join`, from its first connection to its last. */
import { StartupError } from "../../common/errors.ts";
import { harmless, painter, writeAll } from "../../common/terminal.ts";
import { sleep, within } from "../../common/timing.ts";
import type { Message } from "./connection.ts";
import type { Context, Output } from "../subcommand.ts";
import { ConnectError } from "./connect_error.ts";
import { Connection, type Ended } from "./connection.ts";
import { joinStatus, retryDelayMs, statusOfClose } from "./ending.ts";
import { readLines, readWhole } from "./input.ts";
import { LineEditor, ownTerminal } from "./line_editor.ts";
import type { JoinOptions } from "./join.ts";
import { type Trust, trustOf } from "./trust.ts";

/** What {@linkcode Session} needs. */
export interface SessionOptions extends JoinOptions {
  readonly url: string;
}

/** What may wait to be printed, in bytes. */
const maxUnprintedBytes = 64 * 1024 * 1024;
/** After as many failures to connect in a row it gives up. */
const maxFailures = 20;
/** How long the last output may take, in milliseconds. */
const lastOutputMs = 1000;

/**
 * One run of `staps join`: publishes what comes from standard input and prints
 * what comes from others, over one connection after the other.
 */
export class Session {
  readonly #options: SessionOptions;
  readonly #context: Context;
  readonly #paint;
  /** There is one where a person sits at a terminal. */
  #editor: LineEditor | undefined;
  #connection = Promise.withResolvers<Connection>();
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

  constructor(options: SessionOptions, context: Context) {
    this.#options = options;
    this.#context = context;
    this.#limit = options.count || Infinity;
    this.#paint = painter(context.stderr, context.environment.NO_COLOR);
    // Nobody waits for it before there is input.
    this.#connection.promise.catch(() => {});
    void this.#done.promise.catch(() => {}).then(() => this.#isDone = true);
  }

  /**
   * Gets the exit status: one of {@linkcode joinStatus}, or that of the signal
   * that ended it.
   *
   * @throws {StartupError} If the connection can't be made.
   * @throws {InputError} If the input can't be published.
   */
  async run(): Promise<number> {
    const trust = await this.#trust();
    const interrupted = this.#context.interruption();
    interrupted.addEventListener(
      "abort",
      () => this.#done.resolve(interrupted.reason),
    );
    this.#editor = this.#newEditor();
    void this.#publishInput();
    void this.#stayConnected(trust);
    try {
      return await this.#done.promise;
    } finally {
      await this.#end();
    }
  }

  /** Gets an editor, if input and output are a terminal that can move its cursor. */
  #newEditor(): LineEditor | undefined {
    const { stdin, stdout, environment } = this.#context;
    if (!stdin.isTerminal() || !stdout.isTerminal()) return undefined;
    if (this.#options.binary || (environment.TERM ?? "dumb") === "dumb") {
      return undefined;
    }
    return new LineEditor(ownTerminal());
  }

  /** Gets what to publish. */
  #input(): AsyncIterable<Message> {
    if (this.#editor) return this.#editor.lines();
    const { readable } = this.#context.stdin;
    return this.#options.binary ? readWhole(readable) : readLines(readable);
  }

  /** Gets whom to trust, and warns where that is anybody. */
  async #trust(): Promise<Trust> {
    const { url, socket, insecure } = this.#options;
    if (!url.startsWith("wss:") || socket !== undefined) {
      return { rejectUnauthorized: true };
    }
    if (insecure) {
      this.#warn(
        "--insecure: the server's certificate isn't checked, so others on the way can read and write everything, the URL too",
      );
    }
    return await trustOf(this.#options);
  }

  /** Connects, and again if the command says so, until it is done. */
  async #stayConnected(trust: Trust): Promise<void> {
    let failures = 0;
    while (!this.#isDone) {
      let ended: Ended;
      let retryAfterMs: number | undefined;
      const connection = new Connection(this.#options.url, {
        socket: this.#options.socket,
        trust,
      });
      connection.onMessage = (message) => this.#receive(message);
      try {
        await connection.opened;
        failures = 0;
        this.#note("joined");
        this.#connection.resolve(connection);
        ended = await connection.ended;
        if (this.#isDone) return;
        this.#connection = Promise.withResolvers();
        this.#report(ended, connection.unsentBytes);
        const status = statusOfClose(ended);
        if (!this.#options.reconnect || status === joinStatus.refused) {
          this.#done.resolve(status);
          return;
        }
      } catch (error) {
        if (!(error instanceof ConnectError)) return this.#done.reject(error);
        failures++;
        if (
          !this.#options.reconnect || error.permanent || failures >= maxFailures
        ) {
          this.#done.reject(error);
          return;
        }
        this.#warn(error.message);
        ({ retryAfterMs } = error);
        ended = { code: 1006, reason: "" };
      }
      const delayMs = retryDelayMs(ended.reason, {
        ...{ failures, retryAfterMs },
      });
      this.#note(`connecting again in ${(delayMs / 1000).toFixed(1)} s`);
      await sleep(delayMs);
    }
  }

  async #publishInput(): Promise<void> {
    const { count } = this.#options;
    try {
      for await (const message of this.#input()) {
        // One that is closing takes nothing more: wait for the next.
        while (!this.#isDone) {
          const connection = await this.#connection.promise;
          if (await connection.send(message)) break;
          await connection.ended;
          // Let #stayConnected() see it first.
          await sleep(0);
        }
      }
      if (count !== undefined) return;
      const connection = await this.#connection.promise;
      // If it ends before all is written, that is how the command ends.
      if (await connection.settled()) this.#done.resolve(joinStatus.done);
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
    const isLast = this.#printed === this.#limit;
    this.#printing = this.#printing.then(async () => {
      await this.#write(this.#context.stdout, content);
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
    const { binary } = this.#options;
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
    if (binary) return message;
    this.#warn(
      `${message.byteLength} bytes of binary data aren't printed, --binary does that`,
    );
    return undefined;
  }

  /** Writes out what there is, and says goodbye. */
  async #end(): Promise<void> {
    // First of all: what follows may take a while, or be cut short by a signal.
    this.#editor?.close();
    const connection = await Promise.race([
      this.#connection.promise,
      undefined,
    ]);
    await connection?.close();
    await within(Promise.all([this.#printing, this.#noting]), lastOutputMs);
  }

  /** Writes to a stream; where that is the terminal on which somebody types, not into their line. */
  async #write(stream: Output, content: string | Uint8Array): Promise<void> {
    const editor = stream.isTerminal() ? this.#editor : undefined;
    if (editor === undefined || typeof content !== "string") {
      await writeAll(stream, content);
    } else await editor.print(content);
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
      .then(() => this.#write(this.#context.stderr, `${line}\n`))
      // Nobody reads it.
      .catch(() => {});
  }
}
