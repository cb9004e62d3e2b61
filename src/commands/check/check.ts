/** `staps check`: what is wrong with the configuration and its surroundings, all of it. */
import { dirname } from "node:path";
import { Accounts } from "../../system/accounts.ts";
import type { CheckCommand } from "../cli.ts";
import {
  type Config,
  type ConfigReport,
  readConfig,
} from "../../settings/config.ts";
import { problemText } from "../../settings/problems.ts";
import { UsageError } from "../../common/errors.ts";
import type { Environment } from "../../settings/table.ts";
import { painter, writeAll } from "../../common/terminal.ts";
import { askAdmin } from "../ask_admin.ts";
import { barrier, bits, may, rightsOf, type Subject } from "./access.ts";
import { checkBroker } from "./broker.ts";
import { checkDescriptors } from "./descriptors.ts";
import { type Finding, Findings } from "./finding.ts";
import { checkFrontend, nginxUser, nginxWorkers } from "./frontend.ts";
import { checkSocket } from "./sockets.ts";

/** What {@linkcode check} works with. */
export interface CheckContext {
  readonly stdout: {
    write(bytes: Uint8Array): Promise<number>;
    isTerminal(): boolean;
  };
  readonly environment: Environment;
  /** nginx's configuration, for tests; `/etc/nginx/nginx.conf`. */
  readonly nginxConfig?: string;
}

/** The exit statuses of `staps check`; those of the table in docs/commands.md. */
export const checkStatus = {
  /** Nothing failed; there may be warnings. */
  ok: 0,
  /** Something else than the configuration failed. */
  failed: 1,
  /** The server wouldn't start with this configuration (EX_CONFIG, sysexits.h). */
  configuration: 78,
} as const;

/**
 * Prints everything that is found, and gets the exit status, one of
 * {@linkcode checkStatus}.
 *
 * @throws {UsageError} If the command names a user who doesn't exist.
 */
export async function check(
  command: CheckCommand,
  context: CheckContext,
): Promise<number> {
  const findings = await findAll(command, context);
  const failed = findings.filter(({ level }) => level === "fail");
  await writeAll(
    context.stdout,
    command.json
      ? `${JSON.stringify({ ok: failed.length === 0, findings })}\n`
      : render(findings, context),
  );
  return failed.length === 0
    ? checkStatus.ok
    : failed.some(({ check }) => check === "configuration")
    ? checkStatus.configuration
    : checkStatus.failed;
}

/** Gets all findings, the configuration's first. */
export async function findAll(
  command: CheckCommand,
  { environment, nginxConfig = "/etc/nginx/nginx.conf" }: CheckContext,
): Promise<Finding[]> {
  using accounts = new Accounts();
  const { configFile } = command;
  let report = readConfig({ configFile, environment });
  const { subject, finding } = findSubject(report.config, {
    accounts,
    name: command.user,
  });
  if (subject.uid !== Deno.uid()) {
    // A server of another user doesn't see this one's environment.
    report = readConfig({
      configFile,
      environment: {
        ...environment,
        HOME: undefined,
        XDG_RUNTIME_DIR: undefined,
      },
    });
  }
  const findings = [
    ...checkConfiguration(report, {
      subject,
      group: accounts.groupName(subject.gids[0] ?? 0) ?? subject.name,
    }),
    ...finding,
  ];
  const { problems, config } = report;
  // A file that can't be read might say anything.
  if (problems.some(({ line, section }) => !line && !section)) return findings;
  const isSound = (section: string, keys: readonly string[]): boolean =>
    !problems.some((problem) =>
      problem.section === section &&
      (problem.key === undefined || keys.includes(problem.key))
    );

  const { staps, admin, limits } = config;
  const socketIsSound = isSound("staps", ["socket", "mode"]);
  if (socketIsSound) {
    findings.push(
      ...await checkSocket("socket", {
        path: staps.socket,
        mode: staps.mode,
        subject,
      }),
    );
  }
  let pid;
  if (admin.socket !== undefined && isSound("admin", ["socket", "mode"])) {
    findings.push(
      ...await checkSocket("admin", {
        path: admin.socket,
        mode: admin.mode,
        subject,
      }),
    );
    pid = await runningPid(admin.socket);
  }
  if (isSound("daemon", ["dir", "pid_file"])) {
    findings.push(...checkDaemonFiles(config, subject));
  }
  if (isSound("limits", ["clients"])) {
    findings.push(...checkDescriptors(limits.clients, pid));
  }
  if (isSound("staps", ["amqp"]) && isSound("bridge", ["ca", "hosts"])) {
    findings.push(...await checkBroker(config));
  }
  // Without a folder there is nothing to pass through, which was said.
  if (socketIsSound && rightsOf(dirname(staps.socket)) !== undefined) {
    const gid = config.daemon.group === undefined
      ? undefined
      : accounts.group(config.daemon.group);
    const future = {
      uid: subject.uid,
      gid: gid ?? subject.gids[0] ?? 0,
      mode: staps.mode,
    };
    const socket = rightsOf(staps.socket) ?? future;
    const frontend = findFrontend({
      accounts,
      name: command.frontend,
      nginxConfig,
    });
    findings.push(
      ...checkFrontend({
        path: staps.socket,
        socket,
        group: accounts.groupName(socket.gid) ?? String(socket.gid),
        frontend,
        workers: frontend === undefined ? [] : nginxWorkers(frontend.uid),
      }),
    );
  }
  return findings;
}

function checkConfiguration(
  { problems, sources, config, origins }: ConfigReport,
  { subject, group }: { subject: Subject; group: string },
): Finding[] {
  const findings = new Findings("configuration");
  for (const problem of problems) {
    findings.fail(problemText(problem), problem.hint);
  }
  for (const file of sources) {
    const rights = rightsOf(file);
    if (rights === undefined) continue;
    const folder = barrier(subject, file);
    if (folder !== undefined || !may(subject, rights, bits.read)) {
      findings.fail(
        `The user "${subject.name}" can't read "${file}"${
          folder === undefined ? "" : `: it can't pass through "${folder}"`
        }`,
        `chgrp ${group} ${file} && chmod 0640 ${file}`,
      );
    }
  }
  if (findings.all.length === 0) {
    findings.ok(sources.join(", ") || "no file: all settings are defaults");
  }
  const origin = origins.get("staps.amqp");
  if (origin !== undefined && config.staps.amqp?.password) {
    if (((rightsOf(origin.file)?.mode ?? 0) & 0o004) !== 0) {
      findings.warn(
        `Every user of this machine can read the broker's password in "${origin.file}"`,
        `chmod 0640 ${origin.file}`,
      );
    }
  }
  return findings.all;
}

/** Gets the user that staps runs as. */
function findSubject(
  { daemon }: Config,
  { accounts, name }: { accounts: Accounts; name: string | undefined },
): { subject: Subject; finding: Finding[] } {
  const findings = new Findings("user");
  if (name !== undefined) {
    const subject = subjectNamed(accounts, name);
    if (subject === undefined) {
      throw new UsageError(
        `Cannot check for the user "${name}": there is none`,
      );
    }
    return { subject, finding: [] };
  }
  const myself = currentSubject(accounts);
  if (
    daemon.group !== undefined && accounts.group(daemon.group) === undefined
  ) {
    findings.fail(
      `There is no group "${daemon.group}", as "group" in [daemon] says`,
      `create it: addgroup --system ${daemon.group}`,
    );
  }
  if (daemon.user !== undefined) {
    const subject = subjectNamed(accounts, daemon.user);
    if (subject === undefined) {
      findings.fail(
        `There is no user "${daemon.user}", as "user" in [daemon] says`,
        `create it: adduser --system --group ${daemon.user}`,
      );
    } else {
      findings.ok(`staps runs as "${subject.name}", as [daemon] says`);
    }
    return { subject: subject ?? myself, finding: findings.all };
  }
  // The packaged unit says User=staps, which no file of ours tells.
  const packaged = myself.uid === 0
    ? subjectNamed(accounts, "staps")
    : undefined;
  const subject = packaged ?? myself;
  if (subject.uid === 0) {
    findings.warn(
      'staps would run as "root"',
      "set user in [daemon], or use the systemd unit; --user NAME checks for another user",
    );
  } else {
    findings.ok(
      packaged
        ? `checked for "${subject.name}", whom the systemd unit names; --user NAME checks for another`
        : `staps runs as "${subject.name}"`,
    );
  }
  return { subject, finding: findings.all };
}

function subjectNamed(accounts: Accounts, name: string): Subject | undefined {
  const user = accounts.user(name);
  if (user === undefined) return undefined;
  const others = accounts.groupsOf(user).filter((gid) => gid !== user.gid);
  return { name, uid: user.uid, gids: [user.gid, ...others] };
}

function currentSubject(accounts: Accounts): Subject {
  const uid = Deno.uid() ?? 0;
  const name = accounts.userName(uid) ?? String(uid);
  return subjectNamed(accounts, name) ??
    { name, uid, gids: [Deno.gid() ?? 0] };
}

function findFrontend(
  { accounts, name, nginxConfig }: {
    accounts: Accounts;
    name: string | undefined;
    nginxConfig: string;
  },
): Subject | undefined {
  if (name !== undefined) {
    const subject = subjectNamed(accounts, name);
    if (subject === undefined) {
      throw new UsageError(
        `Cannot check for the user "${name}": there is none`,
      );
    }
    return subject;
  }
  let text;
  try {
    text = Deno.readTextFileSync(nginxConfig);
  } catch {
    return undefined;
  }
  // What Debian builds nginx with.
  return subjectNamed(accounts, nginxUser(text) ?? "www-data");
}

function checkDaemonFiles({ daemon }: Config, subject: Subject): Finding[] {
  const findings = new Findings("daemon");
  const { dir, pidFile } = daemon;
  if (dir !== undefined) {
    const rights = rightsOf(dir);
    if (rights === undefined) {
      findings.fail(
        `The folder "${dir}", "dir" in [daemon], doesn't exist`,
        `make it: install -d -o ${subject.name} ${dir}`,
      );
    } else if (
      barrier(subject, dir) !== undefined || !may(subject, rights, bits.search)
    ) {
      findings.fail(
        `The user "${subject.name}" can't change into "${dir}", "dir" in [daemon]`,
      );
    } else findings.ok(`"${dir}" can be changed into`);
  }
  if (pidFile !== undefined) {
    const folder = dirname(pidFile);
    if (rightsOf(folder) === undefined) {
      findings.fail(
        `The folder "${folder}" of "pid_file" in [daemon] doesn't exist`,
        `make it: install -d -o ${subject.name} ${folder}`,
      );
    } else findings.ok(`"${pidFile}" has a folder`);
  }
  return findings.all;
}

/** Gets the process that answers on the admin socket, if one does. */
async function runningPid(socket: string): Promise<number | undefined> {
  try {
    const { pid } = await askAdmin(socket);
    return pid;
  } catch {
    return undefined;
  }
}

/** Gets what people see of `findings`. */
export function render(
  findings: readonly Finding[],
  { stdout, environment }: Pick<CheckContext, "stdout" | "environment">,
): string {
  const paint = painter(stdout, environment.NO_COLOR);
  const meanings = { ok: "good", warn: "doubtful", fail: "bad" } as const;
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines = findings.flatMap(({ check, level, message, hint }) => {
    const mark = paint(meanings[level], level.padEnd(4));
    const indent = " ".repeat(4 + 2 + width + 2);
    return [
      `${mark}  ${check.padEnd(width)}  ${message}`,
      ...hint === undefined ? [] : [`${indent}${paint("quiet", hint)}`],
    ];
  });
  const count = (level: Finding["level"]): number =>
    findings.filter((finding) => finding.level === level).length;
  const [fails, warns] = [count("fail"), count("warn")];
  const end = fails + warns === 0
    ? "All is well"
    : `${fails} failed, ${warns} to look at`;
  return [...lines, "", end, ""].join("\n");
}
