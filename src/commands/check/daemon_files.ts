/** Whether the folders that `[daemon]` names can be used. */
import { dirname } from "node:path";
import type { Config } from "../../settings/config.ts";
import { barrier, bits, may, rightsOf, type Subject } from "./access.ts";
import { type Finding, Findings } from "./finding.ts";

/** Looks at `dir` and at the folder of `pid_file`, for the user that staps runs as. */
export function checkDaemonFiles(
  { daemon }: Config,
  subject: Subject,
): Finding[] {
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
