/** Whether as many clients can connect as the configuration allows. */
import { fdLimit, filesFor } from "../../system/open_files.ts";
import { type Finding, Findings } from "./finding.ts";

/**
 * Compares the limit of open files (RLIMIT_NOFILE) with `[limits] clients`.
 *
 * @param clients The setting.
 * @param pid A staps that runs; otherwise this process's limit is taken, which
 * a staps started from the same place would have.
 */
export function checkDescriptors(
  clients: number,
  pid: number | undefined,
): Finding[] {
  const findings = new Findings("descriptors");
  const limit = fdLimit(pid);
  const needed = filesFor(clients);
  const who = pid === undefined
    ? "a process started from here"
    : `staps, process ${pid},`;
  if (limit === undefined) {
    findings.warn("The limit of open files can't be read");
  } else if (limit < needed) {
    findings.fail(
      `${who} may open ${limit} files, expected at least ${needed} for ${clients} clients`,
      `LimitNOFILE=${needed} in the systemd unit, or ulimit -n ${needed}; or lower clients in [limits]`,
    );
  } else {
    findings.ok(
      `${who} may open ${
        limit === Infinity ? "any number of" : limit
      } files, ${needed} are needed`,
    );
  }
  return findings.all;
}
