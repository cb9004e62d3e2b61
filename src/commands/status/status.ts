/** `staps status`: how a node does, for people. */
import type { Status } from "../../admin/status.ts";
import { AdminError, StartupError, UsageError } from "../../common/errors.ts";
import { painter, writeAll } from "../../common/terminal.ts";
import { sleep } from "../../common/timing.ts";
import { loadConfig } from "../../settings/config.ts";
import { askAdmin } from "../ask_admin.ts";
import {
  findInstances,
  instanceArgument,
  instanceConfig,
} from "../instance.ts";
import {
  configOption,
  type Context,
  nonEmpty,
  type Subcommand,
} from "../subcommand.ts";
import { type Rates, table } from "./table.ts";

/** The exit statuses of `staps status`; those of the table in docs/commands.md. */
export const statusStatus = { ready: 0, notReady: 3 } as const;

/** How often `--watch` asks, in milliseconds. */
const watchMs = 1000;

interface StatusOptions {
  /** One of several nodes on this machine, such as `staps@1`. */
  readonly instance?: string | undefined;
  readonly config?: string;
  /** The admin socket; that of `instance`, or the one in the configuration, if it is missing. */
  readonly socket?: string;
  /** Whether to ask again and again. */
  readonly watch?: boolean;
}

/** `staps status`; ends with one of {@linkcode statusStatus}, or with the status of the signal that ended `--watch`. */
export const status: Subcommand<StatusOptions> = {
  name: "status",
  summary: "show how the server does",
  description:
    "Asks the server on its admin socket: [admin] socket in the configuration, or\n" +
    "that of an instance of the unit staps@.service, such as staps@1.\n\n" +
    "Ends with 0 if the server is ready, 3 if it isn't, and 1 if it can't be asked.",
  declare(command): void {
    command
      .argument(...instanceArgument)
      .option(...configOption)
      .option(
        "-s, --socket <path>",
        "ask on this admin socket, whatever the configuration says",
        nonEmpty,
      )
      .option("-w, --watch", "show it again each second, until Ctrl-C");
  },
  async run(options, context): Promise<number> {
    if (options.socket !== undefined && options.instance !== undefined) {
      throw new UsageError(
        "Cannot ask two sockets: expected an instance or --socket, got both",
      );
    }
    const named = options.socket ??
      (options.instance && instanceConfig(options.instance).adminSocket);
    const socket = named ?? configuredSocket(options, context);
    if (options.watch) {
      const interrupted = context.interruption();
      await Promise.race([watch(socket, context), aborted(interrupted)]);
      return interrupted.reason;
    }
    const { stdout, environment } = context;
    const now = await askAdmin(socket)
      .catch((error) => Promise.reject(named ? error : withInstances(error)));
    const paint = painter(stdout, environment.NO_COLOR);
    await writeAll(stdout, table(now, { paint }));
    return now.ready ? statusStatus.ready : statusStatus.notReady;
  },
};

/** Gets the admin socket of the configuration. @throws {StartupError} If it has none. */
function configuredSocket(
  options: StatusOptions,
  { environment }: Context,
): string {
  const { config } = loadConfig({ configFile: options.config, environment });
  if (config.admin.socket !== undefined) return config.admin.socket;
  throw withInstances(
    new StartupError("Cannot ask: the configuration has no admin socket", {
      hint:
        'set "socket" in [admin] and restart staps, or name one with --socket',
    }),
  );
}

/** Adds to an error of the configured socket that instances run, for which it doesn't count. */
function withInstances(error: StartupError): StartupError {
  const instances = findInstances();
  if (instances.length === 0) return error;
  return new StartupError(error.message, {
    cause: error,
    hint: `instances run, ask them: ${
      instances.map((each) => `staps status ${each}`).join(", ")
    }`,
  });
}

/** Shows how the node does again and again. */
async function watch(
  socket: string,
  { stdout, environment }: Context,
): Promise<never> {
  const paint = painter(stdout, environment.NO_COLOR);
  const inPlace = stdout.isTerminal();
  let before: Sample | undefined;
  let shownLines = 0;
  while (true) {
    let text;
    try {
      const sample = { status: await askAdmin(socket), ms: performance.now() };
      text = table(sample.status, {
        paint,
        rates: before && ratesOf(before, sample),
      });
      before = sample;
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      text = `${paint("bad", error.message)}\n`;
      before = undefined;
    }
    await writeAll(stdout, again(text, { shownLines, inPlace }));
    shownLines = text.split("\n").length - 1;
    await sleep(watchMs);
  }
}

/**
 * Gets what shows `text` after `shownLines` lines of it were shown before: on a
 * terminal in their place, with long lines cut, as a wrapped one would count as
 * two (ECMA-48 CUU and ED; DECAWM).
 */
export function again(
  text: string,
  { shownLines, inPlace }: { shownLines: number; inPlace: boolean },
): string {
  if (!inPlace) return shownLines > 0 ? `\n${text}` : text;
  const up = shownLines > 0 ? `\x1b[${shownLines}A\x1b[J` : "";
  return `${up}\x1b[?7l${text}\x1b[?7h`;
}

interface Sample {
  readonly status: Status;
  readonly ms: number;
}

function ratesOf(before: Sample, after: Sample): Rates | undefined {
  const seconds = (after.ms - before.ms) / 1000;
  // Another process has other counters.
  if (before.status.pid !== after.status.pid) return undefined;
  const rate = (read: (status: Status) => number): number =>
    (read(after.status) - read(before.status)) / seconds;
  return {
    received: rate((status) => status.messages_received),
    delivered: rate((status) => status.deliveries),
    connects: rate((status) => status.connects),
    cpu: rate((status) => status.cpu_s),
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve())
  );
}
