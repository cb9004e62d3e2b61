/** One node of staps, a process that keeps its folder, sockets and configuration over restarts. */
import type { Status } from "../../src/admin/status.ts";
import { ask, readSamples } from "../helpers/admin.ts";
import type { Answer } from "../helpers/http.ts";
import type { Broker } from "../../tools/broker.ts";
import { eventually, within } from "../../tools/eventually.ts";
import type { FaultyProxy } from "../../tools/faulty_proxy.ts";
import {
  denoDir,
  Process,
  runProgram,
  stapsCommand,
} from "../../tools/process.ts";
import { residentBytes } from "../helpers/resident.ts";
import type { SmallDisk } from "./small_disk.ts";

/** Seconds between signs of life on a node's connections to the broker. */
const heartbeatS = 2;

/** Seconds for which the broker keeps what waits for a node that is away. */
export const queueExpiresS = 20;

/** How many files a node may have open: few, so that the limit can be reached. */
const openFiles = 512;

const startTimeoutMs = 60_000;

/** What a run wants of the nodes. */
export interface NodeSettings {
  /** `[bridge] on_outage`. Default `refuse`: so the promise to newcomers holds in an outage, too. */
  readonly onOutage?: "local" | "refuse";
  /** Lines for the section `[bridge]`, such as `on_gap = continue`. */
  readonly bridge?: string;
  /**
   * Lines for the section `[limits]`. By default three slow readers that fall
   * behind one after the other are all still there to read their 4000.
   */
  readonly limits?: string;
  /** `[log] level`. Default `debug`. */
  readonly logLevel?: "info" | "debug";
  /** A script that is run in their processes before staps. */
  readonly preload?: string;
  /** Added to their environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What a process holds. */
export interface Holdings {
  readonly residentBytes: number;
  readonly descriptors: number;
  readonly sockets: number;
}

/** A node, running or not. */
export class Node implements AsyncDisposable {
  readonly socket: string;
  readonly logFile: string;
  /** Its networks to the brokers, in the order in which it tries them. */
  readonly ways: ReadonlyMap<Broker, FaultyProxy>;
  /** Where its folder is; or why that isn't a file system of its own. */
  readonly disk: SmallDisk | string;
  /** What its first process held before there were clients. */
  idle: Holdings | undefined;
  /** What it held at its first {@linkcode rememberWarm}. */
  warm: Holdings | undefined;
  #settings: NodeSettings = {};
  #process: Process | undefined;

  constructor(
    readonly name: string,
    readonly folder: string,
    { ways, disk }: Pick<Node, "ways" | "disk">,
  ) {
    this.socket = `${folder}/staps.sock`;
    this.logFile = `${folder}/staps.log`;
    this.ways = ways;
    this.disk = disk;
  }

  /** The process id, of the present process or of the last one. */
  get pid(): number {
    return this.#process!.pid;
  }

  /** Writes its configuration, and remembers the settings for {@linkcode reconfigure}. */
  async configure(settings: NodeSettings): Promise<void> {
    this.#settings = settings;
    await this.reconfigure(settings.limits ?? "slow_after_s = 5");
  }

  /** Writes its configuration with other lines for the section `[limits]`. */
  async reconfigure(limits: string): Promise<void> {
    const { onOutage = "refuse", bridge = "", logLevel = "debug" } =
      this.#settings;
    const hosts = Array.from(this.ways.values(), addressOf);
    await Deno.writeTextFile(
      `${this.folder}/staps.conf`,
      `[staps]
socket = ${this.socket}
# nginx's workers have another user.
mode = 0666
amqp = amqp://${this.name}:secret@${hosts[0]}/
[daemon]
dir = ${this.folder}
pid_file = ${this.folder}/staps.pid
[limits]
close_timeout_s = 20
shutdown_timeout_s = 5
shutdown_spread_ms = 1000
retry_after_s = 1
${limits}
[bridge]
on_outage = ${onOutage}
heartbeat_s = ${heartbeatS}
queue_expires_s = ${queueExpiresS}
hosts = ${hosts.join(", ")}
${bridge}
[admin]
socket = ${this.folder}/admin.sock
mode = 0600
[log]
level = ${logLevel}
format = text
`,
    );
  }

  /** Starts it, and resolves when it is ready. */
  async start(): Promise<void> {
    const { preload, env } = this.#settings;
    const [run, ...args] = stapsCommand;
    this.#process = new Process("sh", [
      // The shell becomes prlimit, which becomes staps: one process id for all.
      "-c",
      `exec prlimit --nofile=${openFiles}:${openFiles} "$@" 2>>"$0"`,
      ...[this.logFile, Deno.execPath(), run!],
      ...preload === undefined ? [] : [`--preload=${preload}`],
      ...[...args, `--config=${this.folder}/staps.conf`],
    ], { env: { HOME: this.folder, DENO_DIR: denoDir(), ...env } });
    this.warm = undefined;
    await this.ready();
  }

  /** Resolves when it says that it does its work. */
  async ready(): Promise<void> {
    let last = "";
    await eventually(
      async () => {
        if (this.#process!.ended) {
          const args = ["-n", "5", this.logFile];
          const { stdout } = await runProgram("tail", args);
          throw new Error(`${this.name} has ended:\n${stdout}`);
        }
        const answer = await within(this.#ask("/readyz"), "an answer", {
          timeoutMs: 5_000,
        }).catch((error: Error) => ({ status: 0, text: error.message }));
        last = answer.text.trim();
        return answer.status === 200;
      },
      () => `${this.name} to be ready: ${last}`,
      { timeoutMs: startTimeoutMs },
    );
  }

  /** Gets what it says of itself. */
  async status(): Promise<Status> {
    return JSON.parse((await this.#ask("/status")).text);
  }

  /** Whether it is connected to `broker`. */
  async isOn(broker: Broker): Promise<boolean> {
    const { bridge } = await this.status();
    const way = this.ways.get(broker);
    return way !== undefined && bridge?.broker === addressOf(way);
  }

  /** Gets its metrics, as {@linkcode readSamples} has them. */
  async metrics(): Promise<Map<string, number>> {
    return readSamples((await this.#ask("/metrics")).text);
  }

  #ask(path: string): Promise<Answer> {
    const asked = ask(`${this.folder}/admin.sock`, path);
    return within(asked, `${path} of ${this.name}`);
  }

  /** Sends `signal` to it. */
  signal(signal: Deno.Signal): void {
    this.#process?.signal(signal);
  }

  /** Sends `signal`, waits for its end, and gets the exit status. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<number> {
    return (await this.#process!.stop(signal)).code;
  }

  /** Does `act`, and resolves when its log has something new that `pattern` matches. */
  async logs(pattern: RegExp, act: () => Promise<void>): Promise<void> {
    const { size } = await Deno.stat(this.logFile);
    await act();
    await eventually(async () => {
      using file = await Deno.open(this.logFile);
      await file.seek(size, Deno.SeekMode.Start);
      return pattern.test(await new Response(file.readable).text());
    }, `${pattern} in the log of ${this.name}`);
  }

  /** Gets what its process holds now (proc(5)). */
  async holdings(): Promise<Holdings> {
    const folder = `/proc/${this.pid}/fd`;
    const names = await Array.fromAsync(Deno.readDir(folder));
    const targets = await Promise.all(
      // Closed since, perhaps.
      names.map(({ name }) =>
        Deno.readLink(`${folder}/${name}`).catch(() => "")
      ),
    );
    const open = targets.filter((target) => target !== "");
    return {
      residentBytes: await residentBytes(this.pid),
      descriptors: open.length,
      sockets: open.filter((target) => target.startsWith("socket:")).length,
    };
  }

  /** Remembers what the present process holds, unless that is done, as what it takes when warm. */
  async rememberWarm(): Promise<void> {
    if (!this.#process!.ended) this.warm ??= await this.holdings();
  }

  /** Ends it whatever state it is in. */
  async [Symbol.asyncDispose](): Promise<void> {
    // A stopped process is killed all the same.
    await this.#process?.[Symbol.asyncDispose]();
  }
}

/** Gets where a way begins, as the setting `hosts` has it. */
function addressOf({ port }: FaultyProxy): string {
  return `127.0.0.1:${port}`;
}
