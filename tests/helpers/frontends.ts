/**
 * Debian's real servers, each run from the example that we ship. In the examples
 * only what belongs to the machine is replaced: ports, folders, certificates and
 * the socket.
 */
import { freePort, type TempFolder } from "../../tools/folder.ts";
import { FrontendProcess, inOwnFolder } from "./frontend_process.ts";
import {
  frontendGroup,
  type FrontendOptions,
  nginxCommand,
  nginxReplacements,
  type Replacement,
  replaceOnce,
  writeSite,
} from "./nginx.ts";
import { ensurePackages, type TestPackage } from "../../tools/packages.ts";
import { repository, runOrThrow } from "../../tools/process.ts";

/** The servers that we ship examples for. */
export type FrontendName = "nginx" | "apache" | "haproxy" | "caddy";

/** What the examples have in common with every machine, and what this one has instead. */
interface Place {
  readonly folder: string;
  readonly socket: string;
  /** Without TLS. */
  readonly port: number;
  readonly tlsPort: number;
  /** PEM files. */
  readonly certificate: string;
  readonly key: string;
}

/** How one server is run, and what it does. */
export interface Kind {
  readonly package: TestPackage;
  readonly example: string;
  replacements(place: Place): Replacement[];
  /** Writes the files, and gets the command that runs it in the foreground. */
  prepare(site: string, place: Place): Promise<string[]>;
  /** The signal that makes it read its file again, or the command. */
  readonly reload: Deno.Signal | ((folder: string) => [string, string[]]);
  /** The codes that connections end with at a reload, if it doesn't keep them. */
  readonly reloadCloses?: readonly number[];
  /** What clients are answered while staps isn't there. */
  readonly statusWithoutStaps: number;
  /** Whether it holds requests for 10 s until staps is back. */
  readonly holds?: true;
  /** Whether it limits connections per address. */
  readonly limits?: true;
  /** Shortens its time-outs: 6 s of silence, 4 s for a head, and requests are held for 1 s. */
  readonly shortTimeouts: readonly Replacement[];
  /**
   * Makes it spread channels over two sockets, by the example's own commented
   * lines. Those of nginx are tried in scale_test.ts and systemd_test.ts.
   */
  readonly twoSockets?: (one: string, two: string) => Replacement[];
}

/** Every server that we ship an example for, in the order of docs/frontends.md. */
export const frontends: Readonly<Record<FrontendName, Kind>> = {
  nginx: {
    package: "nginx",
    example: "nginx.conf.example",
    replacements: (place) => [
      ...nginxReplacements(place),
      ...letsEncrypt(place),
      ["    #listen 443 ssl;", `    listen 127.0.0.1:${place.tlsPort} ssl;`],
      ["    #ssl_certificate ", "    ssl_certificate "],
      ["    #ssl_certificate_key ", "    ssl_certificate_key "],
      ["    #ssl_protocols ", "    ssl_protocols "],
    ],
    async prepare(site, { folder }): Promise<string[]> {
      await writeSite(folder, site);
      return nginxCommand(folder);
    },
    reload: "SIGHUP",
    statusWithoutStaps: 502,
    limits: true,
    shortTimeouts: [
      ["proxy_read_timeout 75s;", "proxy_read_timeout 6s;"],
      ["proxy_send_timeout 60s;", "proxy_send_timeout 6s;"],
      [" send_timeout 60s;", " send_timeout 6s;"],
      ["client_header_timeout 10s;", "client_header_timeout 4s;"],
    ],
  },

  apache: {
    package: "apache2",
    example: "frontends/apache.conf.example",
    replacements: (place) => [
      ...letsEncrypt(place),
      ["unix:/run/staps/staps.sock", `unix:${place.socket}`],
    ],
    async prepare(example, { folder, port, tlsPort }): Promise<string[]> {
      // Port 80 is no subject here.
      const site = example.replace(
        /<VirtualHost \*:80>[^]*?<\/VirtualHost>\n/,
        "",
      );
      const tls = replaceOnce(site, [["*:443>", `127.0.0.1:${tlsPort}>`]]);
      // The same once more without TLS, for clients that look at bytes.
      const plain = replaceOnce(site, [
        ["*:443>", `127.0.0.1:${port}>`],
        ["SSLEngine on", "SSLEngine off"],
      ]);
      const modules = [
        ...["mpm_event", "authz_core", "alias", "reqtimeout", "proxy"],
        ...["proxy_http", "headers", "socache_shmcb", "ssl"],
      ].map((name) =>
        `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`
      );
      await Deno.writeTextFile(
        `${folder}/apache.conf`,
        `${modules.join("\n")}
        Include /etc/apache2/mods-available/mpm_event.conf
        Include /etc/apache2/mods-available/reqtimeout.conf
        ServerRoot ${folder}
        ServerName localhost
        PidFile ${folder}/pid
        DefaultRuntimeDir ${folder}
        User nobody
        Group ${frontendGroup}
        Listen 127.0.0.1:${port}
        Listen 127.0.0.1:${tlsPort}
        ErrorLog ${folder}/main.log
        ${tls}
        ${plain}`,
      );
      const command = ["/usr/sbin/apache2", "-f", `${folder}/apache.conf`];
      return ["env", `APACHE_LOG_DIR=${folder}`, ...command, "-DFOREGROUND"];
    },
    // "apachectl graceful".
    reload: "SIGUSR1",
    statusWithoutStaps: 503,
    shortTimeouts: [
      ["    Timeout 75\n", "    Timeout 6\n"],
      ["timeout=75 ", "timeout=6 "],
      ["handshake=10 header=10-20,", "handshake=4 header=4-8,"],
    ],
  },

  haproxy: {
    package: "haproxy",
    example: "frontends/haproxy.cfg.example",
    replacements: (place) => [
      ["    user haproxy\n", "    user nobody\n"],
      ["    group staps\n", `    group ${frontendGroup}\n`],
      // So many descriptors may not be had here.
      ["    maxconn 20000\n", "    maxconn 1000\n"],
      ["    log /dev/log local0\n", `    log stdout format raw local0\n`],
      [
        "    bind :443,:::443 ssl crt /etc/haproxy/staps.pem ",
        `    bind 127.0.0.1:${place.port}\n` +
        `    bind 127.0.0.1:${place.tlsPort} ssl crt ${place.folder}/haproxy.pem `,
      ],
      ["unix@/run/staps/staps.sock", `unix@${place.socket}`],
    ],
    async prepare(site, { folder, certificate, key }): Promise<string[]> {
      await Deno.writeTextFile(`${folder}/haproxy.cfg`, site);
      const pem = [certificate, key].map((file) => Deno.readTextFileSync(file));
      await Deno.writeTextFile(`${folder}/haproxy.pem`, pem.join(""));
      // As Debian's unit does: a master, and a worker for each configuration.
      return ["/usr/sbin/haproxy", "-W", "-f", `${folder}/haproxy.cfg`];
    },
    reload: "SIGUSR2",
    statusWithoutStaps: 503,
    limits: true,
    shortTimeouts: [
      ["timeout client       75s", "timeout client       6s"],
      ["timeout server       75s", "timeout server       6s"],
      ["timeout tunnel       75s", "timeout tunnel       6s"],
      ["timeout http-request 10s", "timeout http-request 4s"],
    ],
    twoSockets: (one, two) => [
      ["    #balance uri path-only\n", "    balance uri path-only\n"],
      ["    #hash-type consistent\n", "    hash-type consistent\n"],
      [
        "    #server staps1 unix@/run/staps-1/staps.sock",
        `    server staps1 unix@${one}`,
      ],
      [
        "    #server staps2 unix@/run/staps-2/staps.sock",
        `    server staps2 unix@${two}`,
      ],
      [`    server staps unix@${one}\n`, ""],
    ],
  },

  caddy: {
    package: "caddy",
    example: "frontends/Caddyfile.example",
    replacements: (place) => [
      [
        "\tauto_https disable_redirects\n",
        `\tadmin unix/${place.folder}/admin.sock\n\tauto_https off\n` +
        `\tstorage file_system ${place.folder}\n`,
      ],
      [
        "reverse_proxy unix//run/staps/staps.sock {\n\t",
        `reverse_proxy unix/${place.socket} {\n\t`,
      ],
    ],
    async prepare(
      site,
      { folder, port, tlsPort, certificate, key },
    ): Promise<string[]> {
      const name = "\nstaps.example.org {\n";
      const tls = `\nhttps://127.0.0.1:${tlsPort} {\n` +
        `\ttls ${certificate} ${key}\n`;
      // The same once more without TLS, for clients that look at bytes.
      const plain = site.slice(site.indexOf(name))
        .replace(name, `\nhttp://:${port} {\n`);
      await Deno.writeTextFile(
        `${folder}/Caddyfile`,
        replaceOnce(site, [[name, tls]]) + plain,
      );
      await runOrThrow("chown", ["-R", "nobody", folder]);
      return [
        ...["setpriv", "--reuid=nobody", `--regid=${frontendGroup}`],
        ...["--clear-groups", "env", `HOME=${folder}`],
        ...["caddy", "run", "--config", `${folder}/Caddyfile`],
        ...["--adapter", "caddyfile"],
      ];
    },
    reload: (folder) => ["caddy", [
      ...["reload", "--force", "--config", `${folder}/Caddyfile`],
      ...["--adapter", "caddyfile"],
      ...["--address", `unix/${folder}/admin.sock`],
    ]],
    // The close that it sends to staps may lack its mask: 1002 is staps's answer.
    reloadCloses: [1001, 1002],
    statusWithoutStaps: 502,
    holds: true,
    // It has none for silence.
    shortTimeouts: [
      ["lb_try_duration 10s", "lb_try_duration 1s"],
      ["read_header 10s", "read_header 4s"],
    ],
    twoSockets: (one, two) => [
      ["#         lb_policy uri_hash\n", ""],
      [
        `reverse_proxy unix/${one} {\n`,
        `reverse_proxy unix/${one} unix/${two} {\n\t\t\tlb_policy uri_hash\n`,
      ],
    ],
  },
};

function letsEncrypt({ certificate, key }: Place): Replacement[] {
  const folder = "/etc/letsencrypt/live/staps.example.org";
  return [
    [`${folder}/fullchain.pem`, certificate],
    [`${folder}/privkey.pem`, key],
  ];
}

/** A running frontend with a folder and two ports of its own. */
export class Frontend extends FrontendProcess {
  readonly kind: Kind;
  /** The TCP port with TLS. */
  readonly tlsPort: number;
  /** The certificate, which signed itself, as PEM. */
  readonly certificate: string;

  /** Made by {@linkcode startFrontend} only. */
  constructor(
    command: readonly string[],
    { folder, place, kind }: { folder: TempFolder; place: Place; kind: Kind },
  ) {
    super(command, { folder, port: place.port });
    this.kind = kind;
    this.tlsPort = place.tlsPort;
    this.certificate = Deno.readTextFileSync(place.certificate);
  }

  override get ports(): number[] {
    return [this.port, this.tlsPort];
  }

  /** The base URL for clients with TLS. */
  get tlsUrl(): string {
    return `wss://127.0.0.1:${this.tlsPort}`;
  }

  /** Makes it read its file again; connections go to the old file or the new one for a moment. */
  async reload(): Promise<void> {
    const { reload } = this.kind;
    if (typeof reload === "string") this.signal(reload);
    else await runOrThrow(...reload(this.folder.path));
  }
}

/**
 * Starts the server `name` with its example, and resolves when it answers.
 *
 * @throws {Error} If it refuses the file, or doesn't answer in time.
 */
export async function startFrontend(
  name: FrontendName,
  { socket, replace = [] }: FrontendOptions,
): Promise<Frontend> {
  const kind = frontends[name];
  await ensurePackages([kind.package, "openssl"]);
  return await inOwnFolder(async (folder) => {
    const place: Place = {
      folder: folder.path,
      socket,
      port: freePort(),
      tlsPort: freePort(),
      certificate: `${folder.path}/certificate.pem`,
      key: `${folder.path}/key.pem`,
    };
    await makeCertificate(place);
    const example = await Deno.readTextFile(`${repository}/${kind.example}`);
    const replaced = [...kind.replacements(place), ...replace];
    const site = replaceOnce(example, replaced);
    const command = await kind.prepare(site, place);
    return new Frontend(command, { folder, place, kind });
  });
}

/** Makes a certificate for 127.0.0.1 that signs itself. */
async function makeCertificate({ certificate, key }: Place): Promise<void> {
  await runOrThrow("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt"],
    ...["ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=staps"],
    ...["-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"],
    // The runtime accepts no authority's certificate as a server's.
    ...["-addext", "basicConstraints=critical,CA:FALSE"],
    ...["-keyout", key, "-out", certificate],
  ]);
}
