/** Whether staps could listen on its sockets, or does. */
import { dirname } from "node:path";
import type { Status } from "../../admin/status.ts";
import { identityOf } from "../../system/outside.ts";
import { within } from "../../common/timing.ts";
import {
  barrier,
  bits,
  may,
  modeText,
  rightsOf,
  type Subject,
} from "./access.ts";
import { type Finding, Findings } from "./finding.ts";
import { folderOfUnit } from "./unit.ts";

/** How long whoever listens may take to answer, in milliseconds. */
const answerMs = 2000;

/**
 * Looks whether the file at `path`, where the configuration has the socket, is
 * the one that the `running` staps has bound: another one may have come into
 * its place, and who connects there meets somebody else, or nobody.
 */
export function checkBound(
  path: string,
  { pid, socket }: Pick<Status, "pid" | "socket">,
): Finding[] {
  const findings = new Findings("socket");
  if (socket === null) return findings.all;
  let there;
  try {
    there = identityOf(path);
  } catch {
    // That it can't be looked at was said.
    return findings.all;
  }
  // The same file may have another path in a container.
  if (there === socket.file) return findings.all;
  if (socket.path !== path) {
    findings.warn(
      `The staps that runs, process ${pid}, listens on "${socket.path}", not on "${path}"`,
      "restart it: a reload doesn't change the socket",
    );
    return findings.all;
  }
  findings.fail(
    there === undefined
      ? `The staps that runs, process ${pid}, has bound "${path}", but nothing is there`
      : `The staps that runs, process ${pid}, has bound another socket than the one at "${path}"`,
    there === undefined
      ? "within two seconds it makes it again; if not, restart it"
      : "take that away, and it makes its own again; or end whatever has made it, and restart staps",
  );
  return findings.all;
}

/** Looks at the socket that `path` is to be, for the user that staps runs as. */
export async function checkSocket(
  check: "socket" | "admin",
  { path, mode, subject }: { path: string; mode: number; subject: Subject },
): Promise<Finding[]> {
  const findings = new Findings(check);
  checkMode(findings, { path, mode });
  if (!checkFolder(findings, { path, subject })) return findings.all;

  let info;
  try {
    info = Deno.lstatSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      findings.fail(`Cannot look at "${path}": ${(error as Error).name}`);
      return findings.all;
    }
    findings.ok(`"${path}" is free`);
    return findings.all;
  }
  if (!info.isSocket) {
    const kind = info.isDirectory
      ? "folder"
      : info.isSymlink
      ? "symbolic link"
      : "file";
    findings.fail(
      `"${path}" is a ${kind}, expected a socket or nothing`,
      "move it away, or choose another socket",
    );
    return findings.all;
  }
  const server = await whoAnswers(path);
  if (server === "nobody") {
    findings.warn(
      `"${path}" is left of a staps that ended without removing it: nobody answers there`,
      "nothing to do: the next start replaces it",
    );
  } else if (server === "staps") {
    const actual = info.mode! & 0o777;
    if (actual === mode) findings.ok(`staps runs, and answers on "${path}"`);
    else {
      findings.warn(
        `staps answers on "${path}", which has the mode ${
          modeText(actual)
        }, expected ${modeText(mode)}`,
        "restart staps, or correct the mode in the configuration",
      );
    }
  } else if (server === "locked") {
    findings.fail(
      `Cannot connect to "${path}": permission denied`,
      "check as root, or as the user that staps runs as",
    );
  } else {
    findings.fail(
      `Another server answers on "${path}"`,
      "stop the other one, or choose another socket",
    );
  }
  return findings.all;
}

function checkMode(
  findings: Findings,
  { path, mode }: { path: string; mode: number },
): void {
  if ((mode & 0o222) === 0) {
    findings.fail(
      `mode ${
        modeText(mode)
      } lets nobody connect to "${path}": connecting takes the right to write`,
      "0660 is for the owner and the group",
    );
  } else if ((mode & 0o002) !== 0) {
    findings.warn(
      `mode ${
        modeText(mode)
      } lets every user of this machine connect to "${path}"`,
      "0660 is for the owner and the group",
    );
  }
}

/** Gets whether the socket can be made as far as its folder is concerned. */
function checkFolder(
  findings: Findings,
  { path, subject }: { path: string; subject: Subject },
): boolean {
  const folder = dirname(path);
  let isDirectory;
  try {
    ({ isDirectory } = Deno.statSync(folder));
  } catch (error) {
    const ofUnit = folderOfUnit(folder);
    if (error instanceof Deno.errors.NotFound && ofUnit !== undefined) {
      findings.ok(`"${path}" is free: ${ofUnit.unit} makes its folder`);
    } else if (error instanceof Deno.errors.NotFound) {
      findings.fail(
        `The folder "${folder}" doesn't exist`,
        `make it: install -d -o ${subject.name} ${folder}`,
      );
    } else {
      findings.fail(
        `Cannot look at the folder "${folder}": ${(error as Error).name}`,
      );
    }
    return false;
  }
  if (!isDirectory) {
    findings.fail(`"${folder}" is a file, expected a folder`);
    return false;
  }
  const above = barrier(subject, folder);
  if (above !== undefined) {
    findings.fail(
      `The user "${subject.name}" can't pass through the folder "${above}"`,
      "it needs the permission to search (x) there",
    );
    return false;
  }
  // Read: staps locks the folder while it binds.
  if (!may(subject, rightsOf(folder)!, bits.read + bits.write + bits.search)) {
    findings.fail(
      `The user "${subject.name}" can't make a socket in the folder "${folder}"`,
      `it needs to read, write and search (rwx) there: chown ${subject.name} ${folder}`,
    );
    return false;
  }
  return true;
}

/** Finds out what listens on the socket `path`. */
export async function whoAnswers(
  path: string,
): Promise<"staps" | "another" | "nobody" | "locked"> {
  let connection: Deno.UnixConn;
  try {
    connection = await within(
      Deno.connect({ transport: "unix", path }),
      answerMs,
      noAnswer,
    );
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) return "locked";
    return error instanceof Deno.errors.ConnectionRefused ||
        error instanceof Deno.errors.NotFound
      ? "nobody"
      : "another";
  }
  try {
    const request =
      "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    await connection.write(new TextEncoder().encode(request));
    const buffer = new Uint8Array(4096);
    let text = "";
    while (text.length < 4096 && !/\r\n\r\n[^]*\n$/.test(text)) {
      const count = await within(connection.read(buffer), answerMs, noAnswer);
      if (count === null) break;
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
    // The one for clients, and the one for administrators.
    return /^HTTP\/1\.1 (426 [^]*WebSocket|200 [^]*\r\n\r\nok\n$)/.test(text)
      ? "staps"
      : "another";
  } catch {
    return "another";
  } finally {
    connection.close();
  }
}

function noAnswer(): never {
  throw new Error("No answer");
}
