/** All checks, in order: what one finds decides what is left for others to look at. */
import { dirname } from "node:path";
import type { Status } from "../../admin/status.ts";
import { type ConfigOptions, readConfig } from "../../settings/config.ts";
import type { Environment } from "../../settings/table.ts";
import { Accounts } from "../../system/accounts.ts";
import { askAdmin } from "../ask_admin.ts";
import { instanceConfig } from "../instance.ts";
import { rightsOf } from "./access.ts";
import { checkBroker } from "./broker.ts";
import type { CheckOptions } from "./check.ts";
import { checkConfiguration } from "./configuration.ts";
import { checkDaemonFiles } from "./daemon_files.ts";
import { checkDescriptors } from "./descriptors.ts";
import type { Finding } from "./finding.ts";
import { checkFrontend, findFrontend, nginxWorkers } from "./frontend.ts";
import { checkBound, checkSocket } from "./sockets.ts";
import { folderOfUnit } from "./unit.ts";
import { checkUser } from "./user.ts";

/** nginx's configuration. */
const nginxConfig = "/etc/nginx/nginx.conf";

/**
 * Gets all findings, the configuration's first.
 *
 * @throws {UsageError} If the options name a user or an instance that doesn't exist, or a URL that can't be used.
 */
export async function findAll(
  options: CheckOptions,
  environment: Environment,
): Promise<Finding[]> {
  using accounts = new Accounts();
  const files: ConfigOptions = options.instance === undefined
    ? { configFile: options.config }
    : instanceConfig(options.instance, options.config);
  let report = readConfig({ ...files, environment });
  const { subject, findings: aboutUser } = checkUser(report.config, {
    accounts,
    name: options.user,
  });
  if (subject.uid !== Deno.uid()) {
    // A server of another user doesn't see this one's environment.
    report = readConfig({
      ...files,
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
    ...aboutUser,
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
  let running: Status | undefined;
  if (admin.socket !== undefined && isSound("admin", ["socket", "mode"])) {
    findings.push(
      ...await checkSocket("admin", {
        path: admin.socket,
        mode: admin.mode,
        subject,
      }),
    );
    running = await askRunning(admin.socket);
  }
  if (socketIsSound && running !== undefined) {
    findings.push(...checkBound(staps.socket, running));
  }
  if (isSound("daemon", ["dir", "pid_file"])) {
    findings.push(...checkDaemonFiles(config, subject));
  }
  if (isSound("limits", ["clients"])) {
    findings.push(...checkDescriptors(limits.clients, running?.pid));
  }
  const brokerKeys = ["ca", "cert", "key", "hosts"];
  if (isSound("staps", ["amqp"]) && isSound("bridge", brokerKeys)) {
    findings.push(...await checkBroker(config));
  }
  const folder = dirname(staps.socket);
  const ofUnit = folderOfUnit(folder);
  const isThere = rightsOf(folder) !== undefined;
  // Without a folder there is nothing to pass through, which was said.
  if (socketIsSound && (isThere || ofUnit !== undefined)) {
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
      name: options.frontend,
      nginxConfig,
    });
    findings.push(
      ...checkFrontend({
        path: staps.socket,
        folder: isThere || ofUnit === undefined
          ? undefined
          : { ...future, mode: ofUnit.mode },
        socket,
        group: accounts.groupName(socket.gid) ?? String(socket.gid),
        frontend,
        workers: frontend === undefined ? [] : nginxWorkers(frontend.uid),
      }),
    );
  }
  if (options.through !== undefined) {
    const { checkThrough } = await import("./through.ts");
    findings.push(
      ...await checkThrough({
        url: options.through,
        ca: options.ca,
        socket: socketIsSound ? staps.socket : undefined,
      }),
    );
  }
  return findings;
}

/** Gets the status of the staps that answers on the admin socket, if one does. */
async function askRunning(socket: string): Promise<Status | undefined> {
  try {
    return await askAdmin(socket);
  } catch {
    return undefined;
  }
}
