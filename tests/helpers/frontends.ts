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

/** How one server is run. */
interface Kind {
  readonly package: TestPackage;
  readonly example: string;
  replacements(place: Place): Replacement[];
  /** Writes the files, and gets the command that runs it in the foreground. */
  prepare(site: string, place: Place): Promise<string[]>;
  /** The signal that makes it read its file again, or the command. */
  readonly reload: Deno.Signal | ((folder: string) => [string, string[]]);
}

/** Every server, as {@linkcode startFrontend} runs it. */
const kinds: Readonly<Record<FrontendName, Kind>> = {
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
  },
};

/** Every {@linkcode FrontendName}, in the order of docs/frontends.md. */
export const frontendNames = Object.keys(kinds) as readonly FrontendName[];

function letsEncrypt({ certificate, key }: Place): Replacement[] {
  const folder = "/etc/letsencrypt/live/staps.example.org";
  return [
    [`${folder}/fullchain.pem`, certificate],
    [`${folder}/privkey.pem`, key],
  ];
}

/** A running frontend with a folder and two ports of its own. */
export class Frontend extends FrontendProcess {
  /** The TCP port with TLS. */
  readonly tlsPort: number;
  /** The certificate, which signed itself, as PEM. */
  readonly certificate: string;
  readonly #reload: Kind["reload"];

  /** Made by {@linkcode startFrontend} only. */
  constructor(
    command: readonly string[],
    { folder, place, reload }: {
      folder: TempFolder;
      place: Place;
      reload: Kind["reload"];
    },
  ) {
    super(command, { folder, port: place.port });
    this.tlsPort = place.tlsPort;
    this.certificate = Deno.readTextFileSync(place.certificate);
    this.#reload = reload;
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
    if (typeof this.#reload === "string") this.signal(this.#reload);
    else await runOrThrow(...this.#reload(this.folder.path));
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
  const { package: needed, example, reload, ...kind } = kinds[name];
  await ensurePackages([needed, "openssl"]);
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
    const text = await Deno.readTextFile(`${repository}/${example}`);
    const site = replaceOnce(text, [...kind.replacements(place), ...replace]);
    const command = await kind.prepare(site, place);
    return new Frontend(command, { folder, place, reload });
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
