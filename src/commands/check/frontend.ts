/** Whether the frontend's user can open the socket: the usual cause of "502 Bad Gateway". */
import { dirname } from "node:path";
import type { Accounts } from "../../system/accounts.ts";
import {
  barrier,
  bits,
  may,
  modeText,
  type Rights,
  type Subject,
} from "./access.ts";
import { type Finding, Findings } from "./finding.ts";
import { requireSubject, subjectNamed } from "./user.ts";

/** A worker process of nginx. */
export interface Worker {
  readonly pid: number;
  readonly uid: number;
  readonly gids: readonly number[];
}

/** What {@linkcode checkFrontend} needs. */
export interface FrontendOptions {
  /** The socket's path. */
  readonly path: string;
  /** The socket's folder as it will be, where it isn't there yet. */
  readonly folder?: Rights | undefined;
  /** The socket as it is, or as staps would make it. */
  readonly socket: Rights;
  /** The frontend's user; `undefined`: there is no nginx, and no other was named. */
  readonly frontend: Subject | undefined;
  /** Workers of nginx that run as that user. */
  readonly workers: readonly Worker[];
  /** The socket's group, by name. */
  readonly group: string;
}

/** Looks whether the frontend may connect to the socket. */
export function checkFrontend(
  { path, folder: future, socket, frontend, workers, group }: FrontendOptions,
): Finding[] {
  const findings = new Findings("frontend");
  if (frontend === undefined) {
    findings.ok("no nginx found; --frontend USER checks for another frontend");
    return findings.all;
  }
  const { name } = frontend;
  const join = socket.gid === 0
    ? "let staps run as a user of its own, and add the frontend's to its group"
    : `adduser ${name} ${group}, then restart the frontend`;
  const folder = future === undefined
    ? barrier(frontend, path)
    : may(frontend, future, bits.search)
    ? barrier(frontend, dirname(path))
    : dirname(path);
  if (folder !== undefined) {
    findings.fail(
      `The frontend's user "${name}" can't pass through the folder "${folder}", so it can't connect to "${path}"`,
      `let the group search the folder (x); ${join}`,
    );
  } else if (!may(frontend, socket, bits.write)) {
    findings.fail(
      `The frontend's user "${name}" can't connect to "${path}": it has the mode ${
        modeText(socket.mode)
      } and the group "${group}"`,
      (socket.mode & 0o020) === 0
        ? `mode = 0660 in the configuration; ${join}`
        : join,
    );
  } else {
    const old = workers.find((worker) =>
      !may({ name, ...worker }, socket, bits.write)
    );
    if (old !== undefined) {
      findings.fail(
        `nginx's process ${old.pid} runs without the group "${group}" that its user "${name}" has now`,
        "systemctl reload nginx",
      );
    } else findings.ok(`the user "${name}" can connect to "${path}"`);
  }
  return findings.all;
}

/**
 * Gets the frontend's user: `name`, or else that of nginx, whose configuration
 * is in the file `nginxConfig`; `undefined` if there is no nginx.
 *
 * @throws {UsageError} If there is no user `name`.
 */
export function findFrontend(
  { accounts, name, nginxConfig }: {
    accounts: Accounts;
    name: string | undefined;
    nginxConfig: string;
  },
): Subject | undefined {
  if (name !== undefined) return requireSubject(accounts, name);
  let text;
  try {
    text = Deno.readTextFileSync(nginxConfig);
  } catch {
    return undefined;
  }
  // What Debian builds nginx with.
  return subjectNamed(accounts, nginxUser(text) ?? "www-data");
}

/** Gets the user of an nginx configuration's text. */
export function nginxUser(text: string): string | undefined {
  return /^\s*user\s+([^\s;#]+)/m.exec(text)?.[1]?.replace(
    /^["'](.*)["']$/,
    "$1",
  );
}

/** Gets the processes called nginx that run as `uid`. */
export function nginxWorkers(uid: number): Worker[] {
  const workers: Worker[] = [];
  try {
    for (const { name } of Deno.readDirSync("/proc")) {
      if (!/^[0-9]+$/.test(name)) continue;
      const worker = readWorker(Number(name));
      if (worker?.uid === uid) workers.push(worker);
    }
  } catch {
    // Without /proc there is nothing to find.
  }
  return workers;
}

function readWorker(pid: number): Worker | undefined {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    if (!/^Name:\tnginx$/m.test(status)) return undefined;
    const numbers = (key: string): number[] =>
      (new RegExp(`^${key}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "").trim()
        .split(/\s+/).filter(Boolean).map(Number);
    // Real, effective, saved, file system: proc_pid_status(5).
    return {
      pid,
      uid: numbers("Uid")[1]!,
      gids: [numbers("Gid")[1]!, ...numbers("Groups")],
    };
  } catch {
    // It has ended meanwhile.
    return undefined;
  }
}
