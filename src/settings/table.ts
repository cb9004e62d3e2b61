/**
 * Every setting of staps in one table. Reading and checking the file, the
 * errors, `staps.conf.example`, the reference in docs/configuration.md and the
 * manual page all come from it: a new setting is one entry here.
 */
import type { BrokerHost } from "../amqp/link.ts";
import {
  accountName,
  amqpUrl,
  bytes,
  exchangeName,
  hostPorts,
  octal,
  oneOf,
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
    doc: "Where clients come in, and whether this node has others beside it.",
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
          "Who may connect to the socket, as permission bits. The frontend needs read and write: " +
          "put its user into the socket's group.",
      }),
      amqp: optional(amqpUrl, {
        doc:
          "The RabbitMQ broker that joins this node with others, such as `amqp://staps:PASSWORD@localhost/`, " +
          "or `amqps://` through TLS. What follows the host is the virtual host, `/` if nothing does. In the password, write `/`, `?` " +
          "and `%` as `%2f`, `%3f` and `%25`. Unset: this node works alone.",
      }),
    },
  },
  daemon: {
    doc:
      "For start-up without a service manager. Under systemd the unit does " +
      "this, and none of it is needed.",
    keys: {
      user: optional(accountName, {
        doc:
          "The user to become after binding the sockets, when started as root.",
      }),
      group: optional(accountName, {
        doc:
          "The group to become, and the one that owns the sockets. Unset: the main group of `user`.",
      }),
      dir: optional(path, {
        doc: "The folder to change into at start-up.",
      }),
      pid_file: optional(path, {
        doc:
          "The file that holds the process's number while staps runs. A file of a process that " +
          "is gone is replaced, one of a running staps refused.",
      }),
      umask: optional(octal, {
        doc:
          "The permission bits that files created by staps don't get. The sockets have their `mode` whatever it is. " +
          "Unset: as inherited.",
      }),
    },
  },
  limits: {
    doc:
      "What one client, one channel and the whole node may use. A handshake over a " +
      "limit is answered with 503, a connection over one is closed with a code of its own.",
    keys: {
      message_bytes: required(bytes(1, 64 * MiB), {
        default: MiB,
        reload: true,
        doc:
          "The largest message. A client that sends a larger one is closed with 1009.",
      }),
      client_buffer_bytes: required(bytes(1, GiB), {
        default: 8 * MiB,
        reload: true,
        doc:
          "What may wait for one client that reads slowly; one with more waiting is closed with 4000, " +
          "and the others don't notice. At least `message_bytes`. Each message counts 256 bytes more than it has.",
      }),
      clients: required(wholeNumber(1, 1_000_000), {
        default: 10_000,
        reload: true,
        doc:
          "Connections at the same time. Each takes a file descriptor: see that the process may open enough.",
      }),
      channel_clients: required(wholeNumber(1, 1_000_000), {
        default: 10_000,
        reload: true,
        doc: "Connections to one channel on this node at the same time.",
      }),
      channels: required(wholeNumber(1, 1_000_000), {
        default: 10_000,
        reload: true,
        doc: "Channels on this node at the same time.",
      }),
      messages_per_second: required(wholeNumber(0, 1_000_000), {
        default: 0,
        reload: true,
        doc:
          "What one client may send; one that sends more is closed with 1008. `0`: no limit, and who floods a channel " +
          "makes its readers look slow, see `client_buffer_bytes`.",
      }),
      idle_timeout_s: required(wholeNumber(1, 3600), {
        default: 30,
        reload: true,
        doc:
          "Seconds of silence after which a client is asked for a sign of life, and is closed if it gives none. " +
          "Keep it below the frontend's time-out (60 s in nginx). A reload affects new connections.",
      }),
      shutdown_timeout_s: required(wholeNumber(1, 600), {
        default: 5,
        reload: true,
        doc:
          "Seconds within which a stopping staps ends, whatever its clients do.",
      }),
      shutdown_spread_ms: required(wholeNumber(0, 3_600_000), {
        default: 10_000,
        reload: true,
        doc:
          "Milliseconds over which the clients of a stopping staps are told to come back, each at a moment " +
          "drawn at random (`retry=` in the reason of 1012), so that they don't all come at once.",
      }),
      retry_after_s: required(wholeNumber(0, 3600), {
        default: 5,
        reload: true,
        doc: "Seconds in the `Retry-After` of a handshake answered with 503.",
      }),
    },
  },
  bridge: {
    doc: "How this node works with others. Has a meaning only where " +
      "`amqp` is set.",
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
          "A PEM file with the certificates of the authorities that may vouch for the broker (`amqps://`). " +
          "Unset: those that the system trusts.",
      }),
      on_outage: required(oneOf("local", "refuse"), {
        default: "local",
        doc:
          "What becomes of new clients while the broker can't be reached: `local` lets them in, and of the other nodes' messages " +
          "they get those that are published after it is back; `refuse` answers 503 to those whose channel is new to this node.",
      }),
      on_gap: required(oneOf("close", "continue"), {
        default: "close",
        doc:
          "What becomes of a channel's clients when messages between nodes were lost: `close` closes them with 4001; " +
          "`continue` keeps them, and they may have missed messages.",
      }),
      outbox_bytes: required(bytes(64 * KiB, 4 * GiB), {
        default: 64 * MiB,
        doc:
          "What may wait in this node's memory for the broker. At least `message_bytes`.",
      }),
      queue_bytes: required(bytes(64 * KiB, 64 * GiB), {
        default: 64 * MiB,
        doc:
          "What may wait on the broker for this node. At least `message_bytes`.",
      }),
      queue_expires_s: required(wholeNumber(5, 86_400), {
        default: 60,
        doc:
          "Seconds for which the broker keeps what waits for a node that is away.",
      }),
      heartbeat_s: required(wholeNumber(1, 60), {
        default: 5,
        doc:
          "Seconds between signs of life on the broker's connections; a connection without any for twice as long is dropped.",
      }),
      join_timeout_s: required(wholeNumber(1, 60), {
        default: 5,
        doc:
          "Seconds that a handshake waits for the broker to add the client's channel.",
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
        doc: "Who may connect to it, as permission bits.",
      }),
    },
  },
  log: {
    doc: "What is written to standard error. No channel path is, at any level.",
    keys: {
      level: required(oneOf("error", "warn", "info", "debug"), {
        default: "info",
        reload: true,
        doc:
          "`error`, `warn`; `info` adds clients coming and going, `debug` every message.",
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
