/**
 * A RabbitMQ of the test's own: its ports, name, folder, cookie and epmd are
 * private, so that it can be stopped and killed without touching another.
 */
import { eventually, within } from "./eventually.ts";
import { freePort, TempFolder } from "./folder.ts";
import { ensurePackages } from "./packages.ts";
import { Process, runProgram } from "./process.ts";

/** Debian's programs themselves: the ones in PATH change to another user and its folders. */
const programs = "/usr/lib/rabbitmq/bin";

/** RabbitMQ takes 5 to 10 s to start on an idle machine, and tests share theirs. */
const startTimeoutMs = 120_000;

/** What a user may do, as regular expressions on names; none by default. */
export interface Permissions {
  readonly configure?: string;
  readonly write?: string;
  readonly read?: string;
}

/** Settings of {@linkcode startBroker}. */
export interface BrokerOptions {
  /** Listens with TLS too, with a certificate of a private authority; see {@linkcode Broker.tls}. */
  readonly tls?: boolean;
  /** Plugins to enable, beside none. */
  readonly plugins?: readonly string[];
  /** Lines to add to `rabbitmq.conf`. */
  readonly config?: string;
  /** Becomes part of this one's cluster. That one has to outlive it. */
  readonly peer?: Broker;
}

/** Where a broker with TLS is, and whom to trust. */
export interface TlsAccess {
  readonly port: number;
  /** The file with the private authority's certificate. */
  readonly ca: string;
}

/** A running RabbitMQ with the user `staps`, password `secret`, on the vhost `/`. */
export class Broker implements AsyncDisposable {
  /** Its port on 127.0.0.1, for AMQP without TLS. */
  readonly port = freePort();
  readonly #folder: TempFolder;
  readonly #epmdPort: number;
  readonly #distPort = freePort();
  readonly #name = `staps-test-${crypto.randomUUID().slice(0, 8)}@localhost`;
  /** Knows the brokers of a cluster; the first one's serves all. */
  readonly #epmd: Process | undefined;
  #server: Process | undefined;
  #tls: TlsAccess | undefined;
  #vhosts = 0;

  constructor(folder: TempFolder, peer?: Broker) {
    this.#folder = folder;
    this.#epmdPort = peer ? peer.#epmdPort : freePort();
    if (peer) return;
    this.#epmd = new Process("epmd", [
      "-port",
      `${this.#epmdPort}`,
      "-address",
      "127.0.0.1",
    ], { env: { HOME: folder.path } });
  }

  /** Where TLS is, if it was asked for. */
  get tls(): TlsAccess {
    if (!this.#tls) throw new Error("This broker was started without TLS");
    return this.#tls;
  }

  /** The process id of the server. */
  get pid(): number {
    if (!this.#server) throw new Error("The broker doesn't run");
    return this.#server.pid;
  }

  /** What the server has logged since its last start. */
  get output(): string {
    return this.#server?.output ?? "";
  }

  /** Gets the URL of a vhost, by default `/` with the user `staps`. */
  url(
    vhost = "/",
    { user = "staps:secret", port = this.port }: {
      user?: string;
      port?: number;
    } = {},
  ): string {
    return `amqp://${user}@127.0.0.1:${port}/${encodeURIComponent(vhost)}`;
  }

  /** Makes a vhost of the test's own, where `staps` may do everything, and gets its name. */
  async addVhost(): Promise<string> {
    const vhost = `test-${++this.#vhosts}`;
    await this.eval(
      `rabbit_vhost:add(<<"${vhost}">>, <<"test">>), ` +
        permissionsCall("staps", vhost, all),
    );
    return vhost;
  }

  /** Makes a user. An empty `password` is refused by RabbitMQ, so none is set then. */
  async addUser(
    user: string,
    { password, vhost = "/", permissions }: {
      password: string;
      vhost?: string;
      permissions?: Permissions;
    },
  ): Promise<void> {
    const add = `rabbit_auth_backend_internal:add_user(<<"${user}">>, ` +
      `<<"${password}">>, <<"test">>)`;
    const permit = permissions
      ? `, ${permissionsCall(user, vhost, permissions)}`
      : "";
    await this.eval(add + permit);
  }

  /** Sets what `user` may do in a vhost. */
  async permit(
    user: string,
    permissions: Permissions,
    vhost = "/",
  ): Promise<void> {
    await this.eval(permissionsCall(user, vhost, permissions));
  }

  /** Resolves when the server accepts clients. Used again after {@linkcode stop} or {@linkcode kill}. */
  async start(): Promise<void> {
    const server = new Process(`${programs}/rabbitmq-server`, [], {
      env: this.#env,
    });
    this.#server = server;
    try {
      await within(
        Promise.race([
          this.#accepts(),
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

  /** Becomes part of the cluster of `peer`, and forgets what it had. */
  async joinCluster(peer: Broker): Promise<void> {
    await this.rabbitmqctl("stop_app");
    await this.rabbitmqctl("join_cluster", peer.#name);
    await this.rabbitmqctl("start_app");
  }

  /** Stops the server in good order. */
  async stop(): Promise<void> {
    // SIGTERM makes the Erlang machine stop its applications first.
    await this.#server?.stop("SIGTERM");
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

  /** Forgets everything it ever stored: only while it is stopped. */
  async forget(): Promise<void> {
    await Deno.remove(`${this.#folder.path}/data`, { recursive: true });
  }

  /** Makes the user and rights of a fresh broker again, after {@linkcode forget}. */
  async setUp(): Promise<void> {
    let trouble: unknown;
    // It takes connections a moment before its database takes users.
    await eventually(
      () =>
        this.addUser("staps", { password: "secret", permissions: all })
          .then(() => true, (error) => {
            trouble = error;
            return false;
          }),
      () => `the broker's user, got ${trouble}`,
    );
  }

  /** Closes every client's connection from the broker's side. */
  async closeAllConnections(): Promise<void> {
    await this.eval(
      // One that ends meanwhile is no error.
      `[catch rabbit_networking:close_connection(Pid, "closed by a test") || ` +
        `Pid <- rabbit_networking:connections()], ok`,
    );
  }

  /** Raises or clears the memory alarm, which blocks publishing connections. */
  async memoryAlarm(on: boolean): Promise<void> {
    await this.eval(
      `vm_memory_monitor:set_vm_memory_high_watermark(${
        on ? "0.0000001" : "0.6"
      }), ok`,
    );
  }

  /** Raises or clears the alarm of a full disk, which blocks publishing connections too. */
  async diskAlarm(on: boolean): Promise<void> {
    // More than any disk has; with a unit it would be read as something else.
    const limitBytes = on ? 10 ** 15 : 10 ** 6;
    await this.eval(
      `rabbit_disk_monitor:set_disk_free_limit(${limitBytes}), ok`,
    );
  }

  /** Runs rabbitmqctl as an administrator would. It takes a second or two. */
  async rabbitmqctl(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await runProgram(
      `${programs}/rabbitmqctl`,
      ["--node", this.#name, "--quiet", ...args],
      { env: this.#env },
    );
    if (code !== 0) {
      throw new Error(`rabbitmqctl ${args.join(" ")}: ${stdout}${stderr}`);
    }
    return stdout;
  }

  /** Evaluates an Erlang expression in the server; much faster than rabbitmqctl. */
  async eval(expression: string): Promise<string> {
    const child = new Deno.Command("erl_call", {
      args: ["-sname", this.#name, "-c", cookie, "-e"],
      env: this.#env,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(`${expression}.\n`));
    await writer.close();
    const result = await within(child.output(), `the evaluation ${expression}`);
    const text = new TextDecoder();
    const stdout = text.decode(result.stdout);
    // It exits with 0 whatever the expression does.
    if (!result.success || !stdout.startsWith("{ok, ")) {
      const stderr = text.decode(result.stderr);
      throw new Error(`${expression}: ${stdout}${stderr}`);
    }
    return stdout.slice("{ok, ".length, -1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#epmd?.[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }

  /** Makes certificates, the configuration and the cookie. */
  async prepare(options: BrokerOptions): Promise<void> {
    const folder = this.#folder.path;
    // Erlang refuses a cookie that others may read.
    await Deno.writeTextFile(`${folder}/.erlang.cookie`, cookie, {
      mode: 0o400,
    });
    await Deno.writeTextFile(
      `${folder}/plugins`,
      `[${options.plugins?.join(",") ?? ""}].`,
    );
    let config = `
listeners.tcp.1 = 127.0.0.1:${this.port}
listeners.tcp.2 = ::1:${this.port}
# Debian's default user isn't wanted: a test says which users there are.
default_user = nobody
default_pass = ${crypto.randomUUID()}
vm_memory_high_watermark.relative = 0.6
disk_free_limit.absolute = 1MB
log.console = true
log.console.level = warning
log.file = false
${options.config ?? ""}
`;
    if (options.tls) {
      const port = freePort();
      await makeCertificates(folder);
      this.#tls = { port, ca: `${folder}/ca.pem` };
      config += `
listeners.ssl.1 = 127.0.0.1:${port}
ssl_options.cacertfile = ${folder}/ca.pem
ssl_options.certfile = ${folder}/server.pem
ssl_options.keyfile = ${folder}/server.key
ssl_options.verify = verify_none
`;
    }
    await Deno.writeTextFile(`${folder}/rabbitmq.conf`, config);
  }

  get #env(): Record<string, string> {
    const folder = this.#folder.path;
    return {
      HOME: folder,
      ERL_EPMD_PORT: `${this.#epmdPort}`,
      RABBITMQ_CONF_ENV_FILE: "/dev/null",
      RABBITMQ_CONFIG_FILE: `${folder}/rabbitmq.conf`,
      RABBITMQ_DIST_PORT: `${this.#distPort}`,
      RABBITMQ_ENABLED_PLUGINS_FILE: `${folder}/plugins`,
      RABBITMQ_LOG_BASE: `${folder}/log`,
      RABBITMQ_MNESIA_BASE: `${folder}/data`,
      RABBITMQ_NODENAME: this.#name,
      // Makes the script become the server, so that a signal reaches that.
      RUNNING_UNDER_SYSTEMD: "1",
      RABBITMQ_PID_FILE: `${folder}/pid`,
      // Its default of busy waiting takes a core that tests need.
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
        "+sbwt none +sbwtdcpu none +sbwtdio none",
    };
  }

  /** Resolves when a client would be greeted. */
  async #accepts(): Promise<void> {
    await eventually(
      async () => {
        try {
          using connection = await Deno.connect({
            hostname: "127.0.0.1",
            port: this.port,
          });
          await connection.write(new TextEncoder().encode("AMQP\0\0\x09\x01"));
          return (await connection.read(new Uint8Array(8)) ?? 0) > 0;
        } catch {
          return false;
        }
      },
      "the broker's greeting",
      { timeoutMs: startTimeoutMs },
    );
  }
}

/** Starts a RabbitMQ of the test's own, installing Debian's if it is missing. */
export async function startBroker(
  options: BrokerOptions = {},
): Promise<Broker> {
  await ensurePackages(["rabbitmq-server", "openssl"]);
  const broker = new Broker(await TempFolder.make(), options.peer);
  try {
    await broker.prepare(options);
    await broker.start();
    if (options.peer) await broker.joinCluster(options.peer);
    else await broker.setUp();
    return broker;
  } catch (error) {
    await broker[Symbol.asyncDispose]();
    throw error;
  }
}

const cookie = "staps-test";

const all: Permissions = { configure: ".*", write: ".*", read: ".*" };

function permissionsCall(
  user: string,
  vhost: string,
  { configure = "^$", write = "^$", read = "^$" }: Permissions,
): string {
  const names = [user, vhost, configure, write, read, "test"];
  return `rabbit_auth_backend_internal:set_permissions(${
    names.map((name) => `<<${JSON.stringify(name)}>>`).join(", ")
  })`;
}

/** Makes `ca.pem`, `server.pem` and `server.key` for 127.0.0.1 and localhost. */
async function makeCertificates(folder: string): Promise<void> {
  const openssl = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await runProgram("openssl", args, { cwd: folder });
    if (code !== 0) throw new Error(`openssl ${args.join(" ")}: ${stderr}`);
  };
  const newKey = ["-newkey", "rsa:2048", "-nodes"];
  await openssl(
    ..."req -x509 -days 2 -subj /CN=staps-test-ca".split(" "),
    ...newKey,
    ..."-keyout ca.key -out ca.pem".split(" "),
    ..."-addext basicConstraints=critical,CA:TRUE".split(" "),
  );
  await openssl(
    ..."req -subj /CN=localhost -keyout server.key -out server.csr".split(" "),
    ...newKey,
  );
  await Deno.writeTextFile(
    `${folder}/extensions`,
    "subjectAltName=DNS:localhost,IP:127.0.0.1\n",
  );
  await openssl(
    ..."x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key".split(" "),
    ..."-CAcreateserial -extfile extensions -out server.pem".split(" "),
  );
}
