/**
 * Debian's real servers, each run from the example that we ship. In the examples
 * only what belongs to the machine is replaced: ports, folders, certificates and
 * the socket.
 */
import { eventually } from "../../tools/eventually.ts";
import { accepts, freePort, TempFolder } from "../../tools/folder.ts";
import {
  frontendGroup,
  logsIn,
  nginxReplacements,
  replaceOnce,
  writeSite,
} from "./nginx.ts";
import { ensurePackages, type TestPackage } from "../../tools/packages.ts";
import { Process, repository, runProgram } from "../../tools/process.ts";
import { childrenOf } from "./resident.ts";

/** A replacement in an example. What is replaced must occur once. */
export type Replacement = readonly [from: string, to: string];

/** Settings of {@linkcode startFrontend}. */
export interface FrontendOptions {
  /** The path of staps's socket. */
  readonly socket: string;
  /** Further replacements in the example. */
  readonly replace?: readonly Replacement[];
  /** Lines for the server's main file, where it has one beside the example (apache). */
  readonly main?: string;
}

/** The servers that we ship examples for. */
export type FrontendName = "nginx" | "apache" | "haproxy" | "caddy";

/** Every {@linkcode FrontendName}. */
export const frontendNames: readonly FrontendName[] = [
  "nginx",
  "apache",
  "haproxy",
  "caddy",
];

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
  readonly main: string;
}

/** How one server is run. */
interface Kind {
  readonly package: TestPackage;
  readonly example: string;
  replacements(place: Place): Replacement[];
  /** Writes the files, and gets the command that runs it in the foreground. */
  prepare(site: string, place: Place): Promise<string[]>;
  /** Makes it read its file again. Resolves as soon as it was told to. */
  reload(process: Process, place: Place): void | Promise<void>;
}

const kinds: Readonly<Record<FrontendName, Kind>> = {
  nginx: {
    package: "nginx",
    example: "nginx.conf.example",
    replacements: (place) => [
      ...nginxReplacements(place),
      ["    #listen 443 ssl;", `    listen 127.0.0.1:${place.tlsPort} ssl;`],
      ["    #ssl_certificate ", "    ssl_certificate "],
      ["    #ssl_certificate_key ", "    ssl_certificate_key "],
      ["    #ssl_protocols ", "    ssl_protocols "],
      [
        "/etc/letsencrypt/live/staps.example.org/fullchain.pem",
        place.certificate,
      ],
      ["/etc/letsencrypt/live/staps.example.org/privkey.pem", place.key],
    ],
    async prepare(site, { folder }): Promise<string[]> {
      await writeSite(folder, site);
      return ["/usr/sbin/nginx", "-p", folder, "-c", `${folder}/nginx.conf`];
    },
    reload: (process) => process.signal("SIGHUP"),
  },

  apache: {
    package: "apache2",
    example: "frontends/apache.conf.example",
    replacements: (place) => [
      [
        "/etc/letsencrypt/live/staps.example.org/fullchain.pem",
        place.certificate,
      ],
      ["/etc/letsencrypt/live/staps.example.org/privkey.pem", place.key],
      ["unix:/run/staps/staps.sock", `unix:${place.socket}`],
    ],
    async prepare(example, { folder, port, tlsPort, main }): Promise<string[]> {
      // Port 80 is no subject here.
      const site = example.replace(
        /<VirtualHost \*:80>[^]*?<\/VirtualHost>\n/,
        "",
      );
      await Deno.writeTextFile(
        `${folder}/tls.conf`,
        replaceOnce(site, [["*:443>", `127.0.0.1:${tlsPort}>`]]),
      );
      // The same once more without TLS, for clients that look at bytes.
      await Deno.writeTextFile(
        `${folder}/plain.conf`,
        replaceOnce(site, [
          ["*:443>", `127.0.0.1:${port}>`],
          ["SSLEngine on", "SSLEngine off"],
        ]),
      );
      const modules = [
        ...["mpm_event", "authz_core", "alias", "reqtimeout", "proxy"],
        ...["proxy_http", "headers", "socache_shmcb", "ssl"],
      ];
      const etc = "/etc/apache2/mods-available";
      await Deno.writeTextFile(
        `${folder}/apache.conf`,
        `${
          modules.map((name) =>
            `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so\n`
          ).join("")
        }
        Include ${etc}/mpm_event.conf
        Include ${etc}/reqtimeout.conf
        ${main}
        ServerRoot ${folder}
        ServerName localhost
        PidFile ${folder}/pid
        DefaultRuntimeDir ${folder}
        User nobody
        Group ${frontendGroup}
        Listen 127.0.0.1:${port}
        Listen 127.0.0.1:${tlsPort}
        ErrorLog ${folder}/main.log
        Include ${folder}/tls.conf
        Include ${folder}/plain.conf
        `,
      );
      const command = ["/usr/sbin/apache2", "-f", `${folder}/apache.conf`];
      return ["env", `APACHE_LOG_DIR=${folder}`, ...command, "-DFOREGROUND"];
    },
    // "apachectl graceful".
    reload: (process) => process.signal("SIGUSR1"),
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
      [
        "    server staps unix@/run/staps/staps.sock",
        `    server staps unix@${place.socket}`,
      ],
    ],
    async prepare(site, { folder, certificate, key }): Promise<string[]> {
      await Deno.writeTextFile(`${folder}/haproxy.cfg`, site);
      const pem = [certificate, key].map((file) => Deno.readTextFileSync(file));
      await Deno.writeTextFile(`${folder}/haproxy.pem`, pem.join(""));
      // As Debian's unit does: a master, and a worker for each configuration.
      return ["/usr/sbin/haproxy", "-W", "-f", `${folder}/haproxy.cfg`];
    },
    reload: (process) => process.signal("SIGUSR2"),
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
      const tls = replaceOnce(site, [
        [
          name,
          `\nhttps://127.0.0.1:${tlsPort} {\n\ttls ${certificate} ${key}\n`,
        ],
      ]);
      // The same once more without TLS, for clients that look at bytes.
      const plain = site.slice(site.indexOf(name))
        .replace(name, `\nhttp://:${port} {\n`);
      await Deno.writeTextFile(`${folder}/Caddyfile`, tls + plain);
      for await (const { name } of Deno.readDir(folder)) {
        await Deno.chown(`${folder}/${name}`, nobody, null);
      }
      await Deno.chown(folder, nobody, null);
      return [
        ...["setpriv", `--reuid=${nobody}`, `--regid=${frontendGroup}`],
        ...["--clear-groups", "env", `HOME=${folder}`],
        ...["caddy", "run", "--config", `${folder}/Caddyfile`],
        ...["--adapter", "caddyfile"],
      ];
    },
    async reload(_process, { folder }): Promise<void> {
      const { code, stderr } = await runProgram("caddy", [
        ...["reload", "--force", "--config", `${folder}/Caddyfile`],
        ...["--adapter", "caddyfile"],
        ...["--address", `unix/${folder}/admin.sock`],
      ]);
      if (code !== 0) throw new Error(`caddy reload failed: ${stderr}`);
    },
  },
};

/** The user "nobody" of Debian. */
const nobody = 65534;

/** A running frontend with a folder and ports of its own. */
export class Frontend implements AsyncDisposable {
  readonly #process: Process;
  readonly #kind: Kind;
  readonly #place: Place;
  readonly #folder: TempFolder;
  /** The certificate, which signed itself, as PEM. */
  readonly certificate: string;

  /** Made by {@linkcode startFrontend} only. */
  constructor(
    process: Process,
    parts: {
      kind: Kind;
      place: Place;
      folder: TempFolder;
      certificate: string;
    },
  ) {
    this.#process = process;
    this.#kind = parts.kind;
    this.#place = parts.place;
    this.#folder = parts.folder;
    this.certificate = parts.certificate;
  }

  /** The TCP port without TLS. */
  get port(): number {
    return this.#place.port;
  }

  /** The TCP port with TLS. */
  get tlsPort(): number {
    return this.#place.tlsPort;
  }

  /** The base URL for clients without TLS. */
  get url(): string {
    return `ws://127.0.0.1:${this.#place.port}`;
  }

  /** The base URL for clients with TLS. */
  get tlsUrl(): string {
    return `wss://127.0.0.1:${this.#place.tlsPort}`;
  }

  /** Makes it read its file again; connections go to the old file or the new one for a moment. */
  async reload(): Promise<void> {
    await this.#kind.reload(this.#process, this.#place);
  }

  /** Gets everything that it has logged. */
  async logs(): Promise<string> {
    return this.#process.output + await logsIn(this.#folder.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A master that is killed leaves its workers behind. One that is told to
    // stop begets no more, but waits for those that still have clients.
    const { pid } = this.#process;
    this.#process.signal("SIGTERM");
    for (const worker of await childrenOf(pid).catch(() => [])) {
      try {
        Deno.kill(worker, "SIGKILL");
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    await this.#process.stop("SIGTERM");
    await this.#process[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}

/**
 * Starts the server `name` with its example, and resolves when it answers.
 *
 * @throws {Error} If it refuses the file, or doesn't answer in time.
 */
export async function startFrontend(
  name: FrontendName,
  { socket, replace = [], main = "" }: FrontendOptions,
): Promise<Frontend> {
  const kind = kinds[name];
  await ensurePackages([kind.package, "openssl"]);
  const folder = await TempFolder.make();
  try {
    const place: Place = {
      folder: folder.path,
      socket,
      port: freePort(),
      tlsPort: freePort(),
      certificate: `${folder.path}/certificate.pem`,
      key: `${folder.path}/key.pem`,
      main,
    };
    await makeCertificate(place);
    const example = await Deno.readTextFile(`${repository}/${kind.example}`);
    const site = replaceOnce(example, [
      ...kind.replacements(place),
      ...replace,
    ]);
    const [command, ...args] = await kind.prepare(site, place);
    const process = new Process(command!, args);
    const frontend = new Frontend(process, {
      kind,
      place,
      folder,
      certificate: await Deno.readTextFile(place.certificate),
    });
    await eventually(async () => {
      if (process.ended) {
        throw new Error(`${name} has ended:\n${await frontend.logs()}`);
      }
      return await accepts(place.port) && await accepts(place.tlsPort);
    }, `${name} to accept connections`);
    return frontend;
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

/** Makes a certificate for 127.0.0.1 that signs itself. */
async function makeCertificate({ certificate, key }: Place): Promise<void> {
  const { code, stderr } = await runProgram("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt"],
    ...["ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=staps"],
    ...["-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"],
    // The runtime accepts no authority's certificate as a server's.
    ...["-addext", "basicConstraints=critical,CA:FALSE"],
    ...["-keyout", key, "-out", certificate],
  ]);
  if (code !== 0) throw new Error(`Cannot make a certificate: ${stderr}`);
}
