/** Which user staps runs as. */
import { UsageError } from "../../common/errors.ts";
import type { Config } from "../../settings/config.ts";
import type { Accounts } from "../../system/accounts.ts";
import type { Subject } from "./access.ts";
import { type Finding, Findings } from "./finding.ts";

/**
 * Finds out which user staps runs as: `name`, or else as the configuration or
 * the systemd unit says.
 *
 * @throws {UsageError} If there is no user `name`.
 */
export function checkUser(
  { daemon }: Config,
  { accounts, name }: { accounts: Accounts; name: string | undefined },
): { subject: Subject; findings: Finding[] } {
  const findings = new Findings("user");
  if (name !== undefined) {
    return { subject: requireSubject(accounts, name), findings: findings.all };
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
    return { subject: subject ?? myself, findings: findings.all };
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
  return { subject, findings: findings.all };
}

/** Gets the user `name` of the command line. @throws {UsageError} If there is none. */
export function requireSubject(accounts: Accounts, name: string): Subject {
  const subject = subjectNamed(accounts, name);
  if (subject !== undefined) return subject;
  throw new UsageError(`Cannot check for the user "${name}": there is none`);
}

/** Gets the user `name`, or `undefined` if there is none. */
export function subjectNamed(
  accounts: Accounts,
  name: string,
): Subject | undefined {
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
