/** Debian's real nginx, run from the file that we ship. */
import { eventually } from "../../tools/eventually.ts";
import { freePort, type TempFolder } from "../../tools/folder.ts";
import { FrontendProcess, inOwnFolder } from "./frontend_process.ts";
import { ensurePackages } from "../../tools/packages.ts";
import { repository } from "../../tools/process.ts";

/** Whose rights nginx's workers have: a user without any, in a group that may use the socket. */
export const frontendGroup = "www-data";

/** A command that makes staps's socket belong to {@linkcode frontendGroup}. */
export const inFrontendGroup = [
  ...["setpriv", `--regid=${frontendGroup}`, "--clear-groups"],
];

/** A replacement in a file. What is replaced must occur once. */
export type Replacement = readonly [from: string, to: string];

/** Settings of {@linkcode startNginx}, and for each frontend. */
export interface FrontendOptions {
  /** The path of staps's socket. */
  readonly socket: string;
  /** Further replacements in the example. */
  readonly replace?: readonly Replacement[];
}

/** A running nginx, with a folder and a port of its own. */
export class Nginx extends FrontendProcess {
  constructor(folder: TempFolder, port: number) {
    super(nginxCommand(folder.path), { folder, port });
  }

  /** Gets what the site's access log says. */
  accessLog(): Promise<string> {
    return Deno.readTextFile(`${this.folder.path}/staps.access.log`);
  }

  /**
   * Replaces text in the site's file, and resolves when only workers that have
   * read it accept connections.
   */
  async configure(replace: readonly Replacement[]): Promise<void> {
    const file = `${this.folder.path}/site.conf`;
    const text = replaceOnce(await Deno.readTextFile(file), replace);
    await Deno.writeTextFile(file, text);
    const before = await this.workers();
    this.signal("SIGHUP");
    await eventually(async () => {
      const now = await this.workers();
      const titles = await Promise.all(
        now.filter((pid) => before.includes(pid)).map((pid) =>
          Deno.readTextFile(`/proc/${pid}/cmdline`).catch(() => "")
        ),
      );
      return now.some((pid) => !before.includes(pid)) &&
        titles.every((title) => /^$|shutting down/.test(title));
    }, "nginx's old workers to accept nobody");
  }
}

/**
 * Starts nginx with nginx.conf.example, in which only what belongs to this
 * machine is replaced: port, log folder and socket.
 *
 * @throws {Error} If nginx refuses the file, or doesn't answer in time.
 */
export async function startNginx(options: FrontendOptions): Promise<Nginx> {
  await ensurePackages(["nginx"]);
  return await inOwnFolder(async (folder) => {
    const port = freePort();
    await writeNginxConfig(folder.path, port, options);
    return new Nginx(folder, port);
  });
}

/** Gets the command that runs nginx with the files in `folder`. */
export function nginxCommand(folder: string): string[] {
  return ["/usr/sbin/nginx", "-p", folder, "-c", `${folder}/nginx.conf`];
}

/** Writes nginx.conf.example into `folder`, for this machine, and an nginx.conf that includes it. */
export async function writeNginxConfig(
  folder: string,
  port: number,
  { socket, replace = [] }: FrontendOptions,
): Promise<void> {
  const example = await Deno.readTextFile(`${repository}/nginx.conf.example`);
  const replaced = [
    ...nginxReplacements({ folder, port, socket }),
    ...replace,
  ];
  await writeSite(folder, replaceOnce(example, replaced));
}

/** Gets what in nginx.conf.example is another machine's. */
export function nginxReplacements(
  { folder, port, socket }: { folder: string; port: number; socket: string },
): Replacement[] {
  return [
    ["listen 80;", `listen 127.0.0.1:${port};`],
    ["    listen [::]:80;\n", ""],
    ["/var/log/nginx/staps.access.log", `${folder}/staps.access.log`],
    ["/var/log/nginx/staps.error.log", `${folder}/staps.error.log`],
    ["unix:/run/staps/staps.sock", `unix:${socket}`],
  ];
}

/** Writes a site, and the nginx.conf of an administrator around it. */
export async function writeSite(folder: string, site: string): Promise<void> {
  await Deno.writeTextFile(`${folder}/site.conf`, site);
  const main = mainConfig(folder, frontendGroup);
  await Deno.writeTextFile(`${folder}/nginx.conf`, main);
}

/** What an administrator's nginx.conf has around the sites. */
export function mainConfig(folder: string, group: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`);
  return `
    daemon off;
    user nobody ${group};
    worker_processes 2;
    pid ${folder}/nginx.pid;
    error_log ${folder}/main.log info;
    events { worker_connections 16384; }
    http {
      ${temporary.join(" ")}
      access_log ${folder}/main.access.log;
      include ${folder}/site.conf;
    }
  `;
}

/**
 * Gets `text` with each `from` replaced by its `to`.
 *
 * @throws {Error} If one of them doesn't occur exactly once: then the test and the file differ.
 */
export function replaceOnce(
  text: string,
  pairs: readonly Replacement[],
): string {
  for (const [from, to] of pairs) {
    const count = text.split(from).length - 1;
    if (count !== 1) {
      throw new Error(
        `Expected ${JSON.stringify(from)} once, got it ${count} times`,
      );
    }
    text = text.replace(from, () => to);
  }
  return text;
}
