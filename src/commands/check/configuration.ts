/** Whether the configuration can be read, by the user that staps runs as, and by nobody who shouldn't. */
import { type ConfigReport, settingVariables } from "../../settings/config.ts";
import { exposedPasswordFile } from "../../settings/exposure.ts";
import { problemText } from "../../settings/problems.ts";
import { barrier, bits, may, rightsOf, type Subject } from "./access.ts";
import { type Finding, Findings } from "./finding.ts";

/**
 * Reports the configuration's problems, and who can read its files.
 *
 * @param who The user that staps runs as, and the name of that user's group.
 */
export function checkConfiguration(
  { problems, sources, unknownVariables, ...report }: ConfigReport,
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
    const variables = settingVariables(report).join(", ");
    const files = sources.join(", ") ||
      `no file: all ${variables && "other "}settings are defaults`;
    findings.ok(variables ? `${files}; the environment: ${variables}` : files);
  }
  for (const { name, near } of unknownVariables) {
    findings.warn(
      `Nothing reads the environment variable "${name}"`,
      near && `did you mean "${near}"?`,
    );
  }
  const exposed = exposedPasswordFile(report);
  if (exposed !== undefined) {
    findings.warn(
      `Every user of this machine can read the broker's password in "${exposed}"`,
      `chmod 0640 ${exposed}`,
    );
  }
  return findings.all;
}
