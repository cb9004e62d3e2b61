/**
 * A RabbitMQ's process with what is its own: ports, name, folder, cookie and
 * epmd. So it can be stopped and killed without touching another.
 */
import { basename } from "node:path";
import { type BrokerHome, loopback } from "./broker_network.ts";
import type { BrokerPrograms } from "./broker_programs.ts";
import { Authority } from "./certificates.ts";
import { eventually, within } from "./eventually.ts";
import { freePort, type TempFolder } from "./folder.ts";
import { Process, runProgram } from "./process.ts";

/** What the brokers of a cluster, and their administrators, know each other by. */
const cookie = "staps-test";

/** RabbitMQ takes 5 to 10 s to start on an idle machine, and tests share theirs. */
const startTimeoutMs = 120_000;
/** One of a cluster hands its queues over before it ends. */
const stopTimeoutMs = 90_000;
/** What an administrator's command may take, in milliseconds: joining a cluster takes the longest. */
const commandTimeoutMs = 120_000;

/** What is in a broker's configuration. */
export interface BrokerConfig {
  /** Listens with TLS too, with a certificate of a private authority; see {@linkcode BrokerProcess.tls}. */
  readonly tls?: boolean;
  /** Plugins to enable, beside none. */
  readonly plugins?: readonly string[];
  /** Lines to add to `rabbitmq.conf`. */
  readonly config?: string;
  /** What is in `advanced.config`: an Erlang term with its dot. */
  readonly advanced?: string;
}

/** Where a broker with TLS is, and whom to trust. */
export interface TlsAccess {
  readonly port: number;
  /** Whose files are in the broker's folder. */
  readonly authority: Authority;
  /** The file with its certificate. */
  readonly ca: string;
}

/** Where a broker's process is. */
export interface BrokerPlace {
  readonly programs: BrokerPrograms;
  readonly folder: TempFolder;
  /** One of the cluster that it will be in. */
  readonly peer?: BrokerProcess | undefined;
  /** The network that it is in; this machine's loopback if it isn't said. */
  readonly home?: BrokerHome | undefined;
}

/** A RabbitMQ that can be started, and ended in every way. Ended and removed on disposal. */
export class BrokerProcess implements AsyncDisposable {
  /** Its port, for AMQP without TLS. */
  readonly port = freePort();
  /** Erlang's name of it, which is in what RabbitMQ says of a cluster. */
  readonly name: string;
  readonly #home: BrokerHome;
  readonly #programs: BrokerPrograms;
  readonly #folder: TempFolder;
  readonly #epmdPort: number;
  readonly #distPort = freePort();
  /** Knows the brokers of a cluster; the first one's serves all on its network. */
  readonly #epmd: Process | undefined;
  #server: Process | undefined;
  #paused = false;
  #calls = 0;
  #tls: TlsAccess | undefined;
  /** Resolves when all evaluations so far have ended. */
  #evaluating: Promise<void> = Promise.resolve();

  constructor({ programs, folder, peer, home = loopback }: BrokerPlace) {
    this.#programs = programs;
    this.#folder = folder;
    this.#home = home;
    this.name = `staps-test-${crypto.randomUUID().slice(0, 8)}@${home.name}`;
    this.#epmdPort = peer ? peer.#epmdPort : freePort();
    if (peer && peer.#home === home) return;
    this.#epmd = this.#spawn("epmd", [
      ...["-port", `${this.#epmdPort}`, "-address", home.peerAddress],
    ]);
  }

  /** Where clients find it, with its {@linkcode port}. */
  get hostname(): string {
    return this.#home.address;
  }

  /** Where TLS is, if it was asked for. */
  get tls(): TlsAccess {
    if (!this.#tls) throw new Error("This broker was started without TLS");
    return this.#tls;
  }

  /** The process id of the server. */
  get pid(): number {
    return this.#running.pid;
  }

  /** Whether the server runs. One that ended by itself counts as stopped. */
  get state(): "running" | "paused" | "stopped" {
    if (!this.#server || this.#server.ended) return "stopped";
    return this.#paused ? "paused" : "running";
  }

  /** What the server has logged since its last start. */
  get output(): string {
    return this.#server?.output ?? "";
  }

  /** Writes what the server reads when it starts. */
  async configure(
    { tls = false, plugins = [], config = "", advanced = "[]." }: BrokerConfig,
  ): Promise<void> {
    const write = (name: string, text: string, mode = 0o644): Promise<void> =>
      Deno.writeTextFile(`${this.#folder.path}/${name}`, text, { mode });
    // Erlang refuses one that others may read.
    await write(".erlang.cookie", cookie, 0o400);
    await write("plugins", `[${plugins.join(",")}].`);
    await write("advanced.config", advanced);
    await write(
      "rabbitmq.conf",
      `
listeners.tcp.1 = ${this.hostname}:${this.port}
listeners.tcp.2 = ::1:${this.port}
# Debian's default user isn't wanted: a test says which users there are.
default_user = nobody
default_pass = ${crypto.randomUUID()}
vm_memory_high_watermark.relative = 0.6
disk_free_limit.absolute = 1MB
log.console = true
log.console.level = warning
log.file = false
${config}
${tls ? await this.#configureTls() : ""}`,
    );
  }

  /** Makes a certificate, and gets what `rabbitmq.conf` says of it. */
  async #configureTls(): Promise<string> {
    const authority = await Authority.make(this.#folder);
    const { certFile, keyFile } = await authority.certify();
    this.#tls = { port: freePort(), authority, ca: authority.file };
    const inside = (file: string): string =>
      `${this.#programs.folderInside}/${basename(file)}`;
    return `
listeners.ssl.1 = 127.0.0.1:${this.#tls.port}
ssl_options.cacertfile = ${inside(authority.file)}
ssl_options.certfile = ${inside(certFile)}
ssl_options.keyfile = ${inside(keyFile)}
ssl_options.verify = verify_none
`;
  }

  /** Resolves when the server accepts clients. Used again after {@linkcode stop} or {@linkcode kill}. */
  async start(): Promise<void> {
    // Erlang would start an epmd that outlives it, if there were none.
    // On a network of brokers alone, it is there long before the server is.
    if (this.#home === loopback) {
      await accepts({ hostname: this.hostname, port: this.#epmdPort });
    }
    const server = this.#spawn("rabbitmq-server", []);
    this.#server = server;
    this.#paused = false;
    try {
      await within(
        Promise.race([
          accepts(this, "AMQP\0\0\x09\x01"),
          server.status.then(() => {
            throw new Error("The broker ended");
          }),
        ]),
        "the broker's start",
        { timeoutMs: startTimeoutMs },
      );
    } catch (error) {
      throw new Error(`${(error as Error).message}:\n${server.output}`, {
        cause: error,
      });
    }
  }

  /** Stops the server in good order. */
  async stop(): Promise<void> {
    this.continue();
    // SIGTERM makes the Erlang machine stop its applications first.
    await this.#server?.stop("SIGTERM", { timeoutMs: stopTimeoutMs });
    this.#server = undefined;
  }

  /** Ends the server as a power cut would. */
  async kill(): Promise<void> {
    await this.#server?.stop("SIGKILL");
    this.#server = undefined;
  }

  /** Stops and starts in good order. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Makes the server do nothing, as a machine that hangs: its connections stay. */
  pause(): void {
    this.#running.signal("SIGSTOP");
    this.#paused = true;
  }

  /** Ends a {@linkcode pause}. */
  continue(): void {
    if (!this.#paused) return;
    this.#server?.signal("SIGCONT");
    this.#paused = false;
  }

  /** Forgets everything it ever stored: only while it is stopped. */
  async forget(): Promise<void> {
    await Deno.remove(`${this.#folder.path}/data`, { recursive: true });
  }

  /** Runs rabbitmqctl as an administrator would. It takes a second or two. */
  async rabbitmqctl(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await runProgram(
      ...this.#command("rabbitmqctl", [
        ...["--node", this.name, "--quiet"],
        ...this.#home.hasLongName ? ["--longnames"] : [],
        ...args,
      ]),
      { env: this.#env, timeoutMs: commandTimeoutMs },
    );
    if (code !== 0) {
      throw new Error(`rabbitmqctl ${args.join(" ")}: ${stdout}${stderr}`);
    }
    return stdout;
  }

  /** Evaluates an Erlang expression in the server; much faster than rabbitmqctl. */
  eval(expression: string): Promise<string> {
    // Of several erl_call at once, not all get a connection.
    const result = this.#evaluating.then(() => this.#evaluate(expression));
    this.#evaluating = result.then(() => {}, () => {});
    return result;
  }

  async #evaluate(expression: string): Promise<string> {
    await using call = this.#spawn("erl_call", [
      this.#home.hasLongName ? "-name" : "-sname",
      // Two calls at a time with one name would be one too many.
      ...[this.name, "-h", `call${++this.#calls}`, "-c", cookie, "-e"],
    ], { stdin: "piped" });
    await call.write(`${expression}.\n`);
    await call.endInput();
    const { code } = await within(call.status, `the evaluation ${expression}`);
    // It exits with 0 whatever the expression does.
    if (code !== 0 || !call.stdout.startsWith("{ok, ")) {
      throw new Error(`${expression}: ${call.output}`);
    }
    return call.stdout.slice("{ok, ".length, -1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#epmd?.[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }

  get #running(): Process {
    if (!this.#server) throw new Error("The broker doesn't run");
    return this.#server;
  }

  #spawn(
    program: string,
    args: readonly string[],
    options: { stdin?: "piped" } = {},
  ): Process {
    const command = this.#command(program, args);
    return new Process(...command, { env: this.#env, ...options });
  }

  /** Gets a command line that enters the broker's network and runs one of its programs there. */
  #command(program: string, args: readonly string[]): [string, string[]] {
    const [command, ...rest] = [
      ...this.#home.enter,
      ...this.#programs.command(program, args),
    ];
    return [command!, rest];
  }

  get #env(): Record<string, string> {
    const folder = this.#programs.folderInside;
    return {
      HOME: folder,
      TMPDIR: folder,
      LC_ALL: "C.UTF-8",
      ERL_EPMD_PORT: `${this.#epmdPort}`,
      RABBITMQ_ADVANCED_CONFIG_FILE: `${folder}/advanced.config`,
      RABBITMQ_CONF_ENV_FILE: "/dev/null",
      RABBITMQ_CONFIG_FILE: `${folder}/rabbitmq.conf`,
      RABBITMQ_DIST_PORT: `${this.#distPort}`,
      RABBITMQ_ENABLED_PLUGINS_FILE: `${folder}/plugins`,
      RABBITMQ_LOG_BASE: `${folder}/log`,
      RABBITMQ_MNESIA_BASE: `${folder}/data`,
      RABBITMQ_NODENAME: this.name,
      RABBITMQ_USE_LONGNAME: `${this.#home.hasLongName}`,
      // Makes the script become the server, so that a signal reaches that.
      RUNNING_UNDER_SYSTEMD: "1",
      RABBITMQ_PID_FILE: `${folder}/pid`,
      // Its default of busy waiting takes a core that tests need.
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
        "+sbwt none +sbwtdcpu none +sbwtdio none " +
        `-kernel inet_dist_use_interface {${
          this.#home.peerAddress.replaceAll(".", ",")
        }}`,
    };
  }
}

/** Resolves when a server accepts, and answers `greeting` if that is given. */
async function accepts(
  { hostname, port }: { hostname: string; port: number },
  greeting?: string,
): Promise<void> {
  await eventually(
    async () => {
      try {
        using connection = await Deno.connect({ hostname, port });
        if (greeting === undefined) return true;
        await connection.write(new TextEncoder().encode(greeting));
        return (await connection.read(new Uint8Array(8)) ?? 0) > 0;
      } catch {
        return false;
      }
    },
    `an answer on port ${port}`,
    { timeoutMs: startTimeoutMs },
  );
}
