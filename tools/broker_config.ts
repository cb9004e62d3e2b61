/** What a RabbitMQ reads when it starts: its configuration, certificates and cookie. */
import { basename } from "node:path";
import { Authority } from "./certificates.ts";
import { freePort } from "./folder.ts";

/** What the brokers of a cluster, and their administrators, know each other by. */
export const cookie = "staps-test";

/** Where a broker with TLS is, and whom to trust. */
export interface TlsAccess {
  readonly port: number;
  /** Whose files are in the broker's folder. */
  readonly authority: Authority;
  /** The file with its certificate. */
  readonly ca: string;
}

/** What is in a broker's configuration. */
export interface BrokerConfig {
  /** Listens with TLS too, with a certificate of a private authority; see `tls` of BrokerProcess. */
  readonly tls?: boolean;
  /** Plugins to enable, beside none. */
  readonly plugins?: readonly string[];
  /** Lines to add to `rabbitmq.conf`. */
  readonly config?: string;
  /** What is in `advanced.config`: an Erlang term with its dot. */
  readonly advanced?: string;
}

/** Writes Erlang's cookie. */
export async function writeCookie(folder: string): Promise<void> {
  // Erlang refuses one that others may read.
  await Deno.writeTextFile(`${folder}/.erlang.cookie`, cookie, { mode: 0o400 });
}

/** Writes `rabbitmq.conf`, `advanced.config` and what they name into `folder`, which RabbitMQ knows as `pathInside`. */
export async function writeConfig(
  folder: string,
  { hostname, port, pathInside, tls, plugins = [], config = "", advanced }:
    & BrokerConfig
    & {
      hostname: string;
      port: number;
      pathInside: string;
    },
): Promise<TlsAccess | undefined> {
  await Deno.writeTextFile(`${folder}/plugins`, `[${plugins.join(",")}].`);
  await Deno.writeTextFile(`${folder}/advanced.config`, advanced ?? "[].");
  let text = `
listeners.tcp.1 = ${hostname}:${port}
listeners.tcp.2 = ::1:${port}
# Debian's default user isn't wanted: a test says which users there are.
default_user = nobody
default_pass = ${crypto.randomUUID()}
vm_memory_high_watermark.relative = 0.6
disk_free_limit.absolute = 1MB
log.console = true
log.console.level = warning
log.file = false
${config}
`;
  let access: TlsAccess | undefined;
  if (tls) {
    const authority = await Authority.make({ path: folder });
    const { certFile, keyFile } = await authority.certify();
    access = { port: freePort(), authority, ca: authority.file };
    text += `
listeners.ssl.1 = 127.0.0.1:${access.port}
ssl_options.cacertfile = ${pathInside}/${basename(authority.file)}
ssl_options.certfile = ${pathInside}/${basename(certFile)}
ssl_options.keyfile = ${pathInside}/${basename(keyFile)}
ssl_options.verify = verify_none
`;
  }
  await Deno.writeTextFile(`${folder}/rabbitmq.conf`, text);
  return access;
}
