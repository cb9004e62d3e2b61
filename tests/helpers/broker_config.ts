/** What a RabbitMQ reads when it starts: its configuration, certificates and cookie. */
import { freePort } from "./folder.ts";
import { runOrThrow } from "./process.ts";

/** What the brokers of a cluster, and their administrators, know each other by. */
export const cookie = "staps-test";

/** Where a broker with TLS is, and whom to trust. */
export interface TlsAccess {
  readonly port: number;
  /** The file with the private authority's certificate. */
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
}

/** Writes Erlang's cookie. */
export async function writeCookie(folder: string): Promise<void> {
  // Erlang refuses one that others may read.
  await Deno.writeTextFile(`${folder}/.erlang.cookie`, cookie, { mode: 0o400 });
}

/** Writes `rabbitmq.conf` and what it names into `folder`, which RabbitMQ knows as `pathInside`. */
export async function writeConfig(
  folder: string,
  { hostname, port, pathInside, tls, plugins = [], config = "" }:
    & BrokerConfig
    & {
      hostname: string;
      port: number;
      pathInside: string;
    },
): Promise<TlsAccess | undefined> {
  await Deno.writeTextFile(`${folder}/plugins`, `[${plugins.join(",")}].`);
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
    access = { port: freePort(), ca: `${folder}/ca.pem` };
    await makeCertificates(folder);
    text += `
listeners.ssl.1 = 127.0.0.1:${access.port}
ssl_options.cacertfile = ${pathInside}/ca.pem
ssl_options.certfile = ${pathInside}/server.pem
ssl_options.keyfile = ${pathInside}/server.key
ssl_options.verify = verify_none
`;
  }
  await Deno.writeTextFile(`${folder}/rabbitmq.conf`, text);
  return access;
}

/** Makes `ca.pem`, `server.pem` and `server.key` for 127.0.0.1 and localhost. */
async function makeCertificates(folder: string): Promise<void> {
  const openssl = (...args: string[]): Promise<void> =>
    runOrThrow("openssl", args, { cwd: folder });
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
