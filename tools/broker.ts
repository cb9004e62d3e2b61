/** A RabbitMQ of the test's own, of a version that people have, and its administration. */
import type { BrokerHome } from "./broker_network.ts";
import {
  type BrokerConfig,
  type BrokerPlace,
  BrokerProcess,
} from "./broker_process.ts";
import { brokerPrograms, type BrokerVersion } from "./broker_programs.ts";
import { eventually } from "./eventually.ts";
import { TempFolder } from "./folder.ts";

/** A RabbitMQ to choose. */
export interface BrokerKind {
  readonly version: BrokerVersion;
  /** Where it keeps what it knows of queues, users and more: Khepri, RabbitMQ's own, only from 4.0 on. */
  readonly database: "mnesia" | "khepri";
}

/** What tests that show what every broker must do run on. */
export const brokerKinds: readonly BrokerKind[] = [
  { version: "3.10", database: "mnesia" },
  { version: "4.0", database: "mnesia" },
  { version: "4.0", database: "khepri" },
];

/** What a user may do, as regular expressions on names; none by default. */
export interface Permissions {
  readonly configure?: string;
  readonly write?: string;
  readonly read?: string;
}

/** Settings of {@linkcode startBroker}. */
export interface BrokerOptions extends BrokerConfig, Partial<BrokerKind> {
  /** Becomes part of this one's cluster, and is of its kind. That one has to outlive it. */
  readonly peer?: Broker | undefined;
  /** The network that it is in; this machine's loopback if it isn't said. */
  readonly home?: BrokerHome | undefined;
}

/** A running RabbitMQ with the user `staps`, password `secret`, on the vhost `/`. */
export class Broker extends BrokerProcess {
  #vhosts = 0;

  constructor(readonly kind: BrokerKind, place: BrokerPlace) {
    super(place);
  }

  /** Gets the URL of a vhost, by default `/` with the user `staps`. */
  url(
    vhost = "/",
    { user = "staps:secret", port = this.port }: {
      user?: string;
      port?: number;
    } = {},
  ): string {
    return `amqp://${user}@${this.hostname}:${port}/${
      encodeURIComponent(vhost)
    }`;
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

  /** Becomes part of the cluster of `peer`, and forgets what it had. */
  async joinCluster(peer: Broker): Promise<void> {
    await this.rabbitmqctl("stop_app");
    await this.rabbitmqctl("join_cluster", peer.name);
    await this.rabbitmqctl("start_app");
  }

  /** Makes the user and rights of a fresh broker, also after {@linkcode forget}, and chooses its database. */
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
    if (this.kind.database === "khepri") {
      await this.eval("ok = rabbit_feature_flags:enable(khepri_db)");
    }
  }

  /** Deletes every queue of a vhost, whoever uses it. */
  async deleteQueues(vhost = "/"): Promise<void> {
    await this.eval(
      `[rabbit_amqqueue:delete(Q, false, false, <<"test">>) || ` +
        `Q <- rabbit_amqqueue:list(<<"${vhost}">>)], ok`,
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

  /** Sets the largest message that is taken, by default RabbitMQ 3.10's own, in bytes. */
  async maxMessageSize(bytes = 128 * 2 ** 20): Promise<void> {
    await this.eval(
      `application:set_env(rabbit, max_message_size, ${bytes}), ` +
        // Since 4.0 it is read once, when the server starts.
        `persistent_term:put(max_message_size, ${bytes})`,
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
}

/**
 * The kind of broker for tests that don't choose one: what the environment's
 * `STAPS_BROKER` says, such as `4.0` or `4.0-khepri`, by default 3.10.
 */
function defaultKind(): BrokerKind {
  const name = Deno.env.get("STAPS_BROKER") ?? "3.10";
  const kind = brokerKinds.find((kind) => kindName(kind) === name);
  if (kind) return kind;
  const names = brokerKinds.map(kindName).join(", ");
  throw new Error(`Unknown STAPS_BROKER: got "${name}", expected ${names}`);
}

/** Gets the name of a kind of broker, such as `4.0-khepri`. */
export function kindName({ version, database }: BrokerKind): string {
  return database === "mnesia" ? version : `${version}-${database}`;
}

/** What the bridge is tested on in full: Khepri only if it is asked for, as it doubles the time. */
export const kindsToTest: readonly BrokerKind[] = brokerKinds.filter((kind) =>
  kind.database === "mnesia" ||
  kindName(kind) === Deno.env.get("STAPS_BROKER")
);

/** Starts a RabbitMQ of the test's own, installing it if it is missing. */
export async function startBroker(
  options: BrokerOptions = {},
): Promise<Broker> {
  const broker = await makeBroker(options);
  try {
    await broker.start();
    if (options.peer) await broker.joinCluster(options.peer);
    else await broker.setUp();
    return broker;
  } catch (error) {
    await broker[Symbol.asyncDispose]();
    throw error;
  }
}

/** Makes a broker as {@linkcode startBroker} does, but for its start. */
export async function makeBroker(options: BrokerOptions): Promise<Broker> {
  const { version, database = "mnesia", peer, home } = options;
  const kind = peer?.kind ??
    (version === undefined ? defaultKind() : { version, database });
  const folder = await TempFolder.make();
  try {
    const programs = await brokerPrograms(kind.version, folder.path);
    const broker = new Broker(kind, { programs, folder, peer, home });
    await broker.configure(options);
    return broker;
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

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
