/**
 * Every setting of staps in one table. Reading and checking the file, the
 * errors, `staps.conf.example`, the reference in docs/configuration.md and the
 * manual page all come from it: a new setting is one entry here.
 */
import type { BrokerHost } from "./amqp_url.ts";
import {
  accountName,
  amqpUrl,
  bytes,
  exchangeName,
  hostPorts,
  octal,
  oneOf,
  origins,
  path,
  type SettingType,
  socketPath,
  wholeNumber,
} from "./types.ts";

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** One key of the configuration file. */
export interface Setting<T> {
  readonly type: SettingType<NonNullable<T>>;
  /** `undefined`: unset. */
  readonly default: T;
  /** Replaces the default where the environment says otherwise. */
  readonly environmentDefault?:
    | ((environment: Environment) => T | undefined)
    | undefined;
  /** Whether a reload makes it effective; otherwise it takes a restart. */
  readonly reload: boolean;
  /** Whether it may hold a password: then an environment variable may name a file that has the value. */
  readonly secret?: boolean | undefined;
  /** One paragraph for the administrator; names of keys and values in backticks. */
  readonly doc: string;
}

/** One section of the configuration file. */
export interface Section {
  /** One paragraph, as {@linkcode Setting.doc}. */
  readonly doc: string;
  readonly keys: Readonly<Record<string, Setting<unknown>>>;
}

interface SettingOptions<T> {
  readonly doc: string;
  readonly reload?: boolean;
  readonly secret?: boolean;
  readonly environmentDefault?: Setting<T>["environmentDefault"];
}

function required<T>(
  type: SettingType<T & NonNullable<unknown>>,
  options: SettingOptions<T> & { readonly default: NoInfer<T> },
): Setting<T> {
  return { reload: false, ...options, type };
}

function optional<T>(
  type: SettingType<T & NonNullable<unknown>>,
  options: SettingOptions<T | undefined>,
): Setting<T | undefined> {
  return { reload: false, ...options, default: undefined, type };
}

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

/** The table: sections and keys as they stand in the file, in this order. */
export const settings = {
  staps: {
    doc: "The socket for clients, and the broker that joins nodes.",
    keys: {
      socket: required(socketPath, {
        default: "/run/staps/staps.sock",
        environmentDefault: ({ XDG_RUNTIME_DIR: folder }) =>
          folder?.startsWith("/")
            ? `${folder.replace(/\/+$/, "")}/staps.sock`
            : undefined,
        doc:
          "The unix socket that staps listens on, for the frontend to connect to. " +
          "Where `XDG_RUNTIME_DIR` is set, the default is `staps.sock` in that folder.",
      }),
      mode: required(octal, {
        default: 0o660,
        doc:
          "Permission bits of the socket. To connect, the frontend needs read and write: " +
          "put its user into the socket's group.",
      }),
      listener: required(oneOf("own", "runtime"), {
        default: "own",
        doc:
          "What accepts connections: staps's `own` listener, or that of the `runtime` (Deno), a fall-back that " +
          "can't keep all limits: see docs/listener.md.",
      }),
      amqp: optional(amqpUrl, {
        secret: true,
        doc:
          "The RabbitMQ broker that joins this node with others, such as `amqp://staps:PASSWORD@localhost/`, " +
          "or `amqps://` for TLS. The virtual host follows the host; it is `/` by default. In the password, write `/`, `?` " +
          "and `%` as `%2f`, `%3f` and `%25`. Unset: this node works alone.",
      }),
    },
  },
  daemon: {
    doc:
      "For start-up without a service manager. Under systemd, leave these unset: " +
      "the unit does the same.",
    keys: {
      user: optional(accountName, {
        doc:
          "The user that staps runs as after it has bound its sockets as root.",
      }),
      group: optional(accountName, {
        doc:
          "The group that staps runs as, which also owns the sockets. Unset: the main group of `user`.",
      }),
      dir: optional(path, {
        doc: "The working folder, set at start-up.",
      }),
      pid_file: optional(path, {
        doc:
          "A file for the process number while staps runs. staps replaces the file of a process that " +
          "has ended, and doesn't start if the process still runs.",
      }),
      umask: optional(octal, {
        doc:
          "Umask for files that staps creates. It doesn't affect the sockets: they have their `mode`. " +
          "Unset: as inherited.",
      }),
    },
  },
  limits: {
    doc:
      "Limits of one client, one channel and the whole node. staps answers a handshake over a " +
      "limit with 503, and closes a connection over a limit with that limit's code.",
    keys: {
      message_bytes: required(bytes(1, 64 * MiB), {
        default: MiB,
        reload: true,
        doc:
          "Maximum size of a message. A client that sends a larger one is closed with 1009.",
      }),
      client_buffer_bytes: required(bytes(1, GiB), {
        default: 8 * MiB,
        reload: true,
        doc:
          "Maximum unsent data per client. A client over it, one that reads too slowly, is closed with 4000; " +
          "others aren't affected. At least `message_bytes`. Each queued piece counts 700 bytes more than it has.",
      }),
      brake_bytes: required(bytes(1, GiB), {
        default: MiB,
        reload: true,
        doc:
          "Unsent data with which a client is behind: until it has caught up to half of this, staps reads nothing more from those " +
          "who publish in its channel. More than half of `client_buffer_bytes` counts as half of it.",
      }),
      slow_after_s: required(wholeNumber(1, 3600), {
        default: 10,
        reload: true,
        doc:
          "Seconds that publishers wait for a client that is behind, and for the broker; then the client is closed with 4000.",
      }),
      clients: required(wholeNumber(1, 1_000_000), {
        default: 10_000,
        reload: true,
        doc:
          "Maximum number of connections to this node. Each takes a file descriptor: see that the process may open enough.",
      }),
      channel_clients: required(wholeNumber(1, 1_000_000), {
        default: 10_000,
        reload: true,
        doc: "Maximum number of connections to one channel on this node.",
      }),
      channels: required(wholeNumber(1, 1_000_000), {
        default: 10_000,
        reload: true,
        doc: "Maximum number of channels on this node.",
      }),
      messages_per_second: required(wholeNumber(0, 1_000_000), {
        default: 0,
        reload: true,
        doc:
          "Maximum rate of one client. A client that sends more is closed with 1008. `0`: no limit; a client that floods a channel " +
          "then makes its readers look slow, see `client_buffer_bytes`.",
      }),
      idle_timeout_s: required(wholeNumber(1, 3600), {
        default: 30,
        reload: true,
        doc:
          "Seconds without data after which staps pings a client, and closes it if no answer comes. " +
          "Keep it below the frontend's time-out (75 s in the examples). A reload affects new connections.",
      }),
      close_timeout_s: required(wholeNumber(1, 600), {
        default: 5,
        reload: true,
        doc:
          "Seconds that a client has to answer a close frame; then staps ends the connection.",
      }),
      handshake_timeout_s: required(wholeNumber(1, 600), {
        default: 10,
        reload: true,
        doc:
          "Seconds from the connection on within which a client's whole request has to arrive.",
      }),
      shutdown_timeout_s: required(wholeNumber(1, 600), {
        default: 5,
        reload: true,
        doc: "Maximum seconds that stopping takes, whatever the clients do.",
      }),
      shutdown_spread_ms: required(wholeNumber(0, 3_600_000), {
        default: 10_000,
        reload: true,
        doc:
          "Milliseconds over which clients reconnect after staps stops, so that they don't all come at once. " +
          "Each is told a random time in this span (`retry=` in the reason of 1001).",
      }),
      retry_after_s: required(wholeNumber(0, 3600), {
        default: 5,
        reload: true,
        doc: "Seconds in the header `Retry-After` of a 503.",
      }),
    },
  },
  http: {
    doc:
      "Requests that aren't WebSocket handshakes, and web pages: see docs/http.md.",
    keys: {
      front_page: required(oneOf("yes", "no"), {
        default: "yes",
        reload: true,
        doc:
          "Whether `/` shows how to use this server, with the URL of a fresh channel. It is still a channel for WebSockets.",
      }),
      origins: required(origins, {
        default: [] as readonly string[],
        reload: true,
        doc:
          "Web pages that may use staps beside those of its own host, such as `https://app.example.org`; `*` allows all. " +
          "Requests by others are answered with 403. Programs that aren't browsers aren't concerned.",
      }),
      requests_per_second: required(wholeNumber(0, 1_000_000), {
        default: 1000,
        reload: true,
        doc:
          "Maximum rate of messages by POST, for the whole node. More are answered with 503. `0`: no limit.",
      }),
      waiting_requests: required(wholeNumber(1, 1_000_000), {
        default: 1000,
        reload: true,
        doc:
          "Maximum number of posted messages that wait at once: for somebody to join (`Prefer: wait`), for slow readers, or for the broker. " +
          "More are answered with 503.",
      }),
      waiting_bytes: required(bytes(64 * KiB, GiB), {
        default: 64 * MiB,
        reload: true,
        doc:
          "Maximum data of all posted messages that wait. At least twice `message_bytes`.",
      }),
    },
  },
  bridge: {
    doc: "How this node works with others. Used only if `amqp` is set.",
    keys: {
      exchange: required(exchangeName, {
        default: "staps",
        doc:
          "The exchange on the broker. Nodes with the same one share their channels.",
      }),
      hosts: required(hostPorts, {
        default: [] as readonly BrokerHost[],
        doc:
          "The nodes of a RabbitMQ cluster, tried in turn, such as `rabbit1, rabbit2:5672`. User, password, " +
          "virtual host and TLS are those of `amqp`. Empty: the host in `amqp`.",
      }),
      ca: optional(path, {
        doc:
          "A PEM file with the certificates of the authorities that staps trusts to certify the broker (`amqps://`). " +
          "Unset: those that the system trusts.",
      }),
      cert: optional(path, {
        doc:
          "A PEM file with this node's certificate, for brokers that demand one (`amqps://`), and with those between it and its authority. " +
          "It needs `key`. Unset: none is shown.",
      }),
      key: optional(path, {
        doc: "A PEM file with the private key of `cert`, without a password.",
      }),
      on_outage: required(oneOf("local", "refuse"), {
        default: "local",
        doc:
          "New clients while the broker can't be reached: `local` lets them in, and they receive other nodes' messages " +
          "that are published once the broker is back; `refuse` answers 503 to clients whose channel is new to this node.",
      }),
      on_gap: required(oneOf("close", "continue"), {
        default: "close",
        doc:
          "A channel's clients after messages between nodes were lost: `close` closes them with 4001; " +
          "`continue` keeps them, though they may have missed messages.",
      }),
      outbox_bytes: required(bytes(64 * KiB, 4 * GiB), {
        default: 64 * MiB,
        doc:
          "Maximum data in this node's memory that the broker hasn't taken yet; one channel gets at most half. At least `message_bytes`.",
      }),
      queue_bytes: required(bytes(64 * KiB, 64 * GiB), {
        default: 64 * MiB,
        doc:
          "Maximum data that the broker keeps for this node. At least `message_bytes`.",
      }),
      queue_type: required(oneOf("auto", "classic", "quorum"), {
        default: "auto",
        doc:
          "The kind of this node's queue: `classic` is on one broker; `quorum` is on three of a cluster, and outlives " +
          "the loss of one. `auto`: `quorum` if `hosts` names at least three, otherwise the virtual host's default, " +
          "which is `classic` unless somebody changed it.",
      }),
      queue_expires_s: required(wholeNumber(5, 86_400), {
        default: 60,
        doc:
          "Seconds for which the broker keeps the messages for a node that is away.",
      }),
      heartbeat_s: required(wholeNumber(1, 60), {
        default: 5,
        doc:
          "Seconds between heartbeats on the broker's connections. A connection without any for twice as long is dropped.",
      }),
      join_timeout_s: required(wholeNumber(1, 60), {
        default: 5,
        doc:
          "Maximum seconds that a handshake waits for the broker to add the client's channel.",
      }),
    },
  },
  admin: {
    doc: "A second socket for metrics, health and status.",
    keys: {
      socket: optional(socketPath, {
        doc:
          "The unix socket that answers `/metrics`, `/healthz`, `/readyz` and `/status`, such as " +
          "`/run/staps/admin.sock`. Unset: there is none.",
      }),
      mode: required(octal, {
        default: 0o660,
        doc:
          "Permission bits of the admin socket: connecting takes read and write.",
      }),
    },
  },
  log: {
    doc:
      "The log on standard error. It contains no channel path, at any level.",
    keys: {
      level: required(oneOf("error", "warn", "info", "debug"), {
        default: "info",
        reload: true,
        doc:
          "The least severe level that is logged. `info` includes clients that connect and leave, `debug` every message.",
      }),
      format: required(oneOf("auto", "text", "json", "journal"), {
        default: "auto",
        reload: true,
        doc:
          "`text` for people, `json` with one object a line, `journal` with priorities for systemd's journal " +
          "(sd-daemon(3)). `auto`: `journal` under systemd, else `text`.",
      }),
    },
  },
} as const satisfies Readonly<Record<string, Section>>;

type Settings = typeof settings;

/** `idle_timeout_s` to `idleTimeoutS`. */
type CamelCase<Key> = Key extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Key;

/** All settings with their values: sections as in the file, keys in camel case. */
export type Config = {
  readonly [S in keyof Settings]: {
    readonly [
      K in keyof Settings[S]["keys"] as CamelCase<K> & string
    ]: Settings[S]["keys"][K] extends Setting<infer T> ? T : never;
  };
};

/** A setting with its place, for code that goes through all of them. */
export interface PlacedSetting extends Setting<unknown> {
  readonly section: string;
  /** Its name in the file, such as `pid_file`. */
  readonly key: string;
  /** Its name in {@linkcode Config}, such as `pidFile`. */
  readonly property: string;
}

/** Every setting, in the table's order. */
export const allSettings: readonly PlacedSetting[] = Object.entries(settings)
  .flatMap(([section, { keys }]) =>
    Object.entries(keys as Section["keys"]).map(([key, setting]) => ({
      ...setting,
      section,
      key,
      property: camelCase(key),
    }))
  );

/** Gets the setting `[section] key`, or `undefined` if there is none. */
export function findSetting(
  section: string,
  key: string,
): PlacedSetting | undefined {
  return allSettings.find((setting) =>
    setting.section === section && setting.key === key
  );
}

function camelCase(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
