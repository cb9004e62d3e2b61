/** Whom to trust over TLS, and why somebody isn't trusted. */
import { getCACertificates } from "node:tls";
import {
  type Certificate,
  shownCertificate,
} from "../../common/certificate.ts";
import { StartupError, UsageError } from "../../common/errors.ts";
import type { HostPort } from "../../common/host_port.ts";
import { harmless } from "../../common/terminal.ts";

/** What the command line says about trust. */
export interface TrustOptions {
  /** A PEM file with the authorities to trust, instead of the system's. */
  readonly ca?: string;
  /** Whether to trust anybody. */
  readonly insecure?: boolean;
}

/** Options of Node.js's `tls.connect()`. */
export interface Trust {
  /** Without it, the authorities that the runtime comes with. */
  readonly ca?: readonly string[];
  readonly rejectUnauthorized: boolean;
}

/** What is shown of a text in a certificate, in characters. */
const maxShown = 200;

/**
 * Gets whom to trust: those in the file that is named, or in the system's store
 * (`SSL_CERT_FILE`, else /etc/ssl/certs), where there is one.
 *
 * @throws {UsageError} If the options contradict each other.
 * @throws {StartupError} If the file can't be read, or has no certificate in it.
 */
export async function trustOf(
  { ca: file, insecure = false }: TrustOptions,
): Promise<Trust> {
  if (insecure) {
    if (file === undefined) return { rejectUnauthorized: false };
    throw new UsageError(
      "Cannot trust anybody and only some: got --insecure and --ca, expected one of them",
    );
  }
  const ca = file === undefined
    ? getCACertificates("system")
    : [await readAuthorities(file)];
  return { rejectUnauthorized: true, ...ca.length > 0 ? { ca } : {} };
}

async function readAuthorities(file: string): Promise<string> {
  let text;
  try {
    text = await Deno.readTextFile(file);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound
      ? "there is no such file"
      : cause instanceof Deno.errors.PermissionDenied
      ? "permission denied"
      : (cause as Error).message;
    throw new StartupError(`Cannot read "${file}" of --ca: ${reason}`, {
      cause,
    });
  }
  if (/^-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----\r?$/m.test(text)) {
    return text;
  }
  throw new StartupError(
    `Cannot use "${file}" of --ca: expected a certificate in PEM`,
  );
}

/** What is wrong with a server's certificate, and what may help. */
export interface Distrust {
  readonly problem: string;
  readonly hint: string | undefined;
}

/**
 * Gets why the server at `place` isn't trusted. `code` is Node.js's, which
 * doesn't tell an expired certificate from one of an unknown authority, so the
 * certificate is looked at, on a connection of its own.
 */
export async function distrust(
  place: HostPort,
  code: string,
): Promise<Distrust> {
  const certificate = await shownCertificate(place);
  return certificate && invalidNow(certificate, Date.now()) ||
    untrusted(certificate, { code, hostname: place.hostname });
}

/** Gets what is wrong with the time, if anything is. */
function invalidNow(
  { fromMs, untilMs }: Certificate,
  nowMs: number,
): Distrust | undefined {
  const clock = `this machine's clock says ${time(nowMs)}`;
  if (nowMs > untilMs) {
    return {
      problem: `its certificate expired at ${time(untilMs)}, and ${clock}`,
      hint: "if the clock is right, the server needs a new certificate",
    };
  }
  if (nowMs < fromMs) {
    return {
      problem: `its certificate isn't valid before ${
        time(fromMs)
      }, and ${clock}`,
      hint: "likely the clock is off, here or where the certificate was made",
    };
  }
  return undefined;
}

function untrusted(
  certificate: Certificate | undefined,
  { code, hostname }: { code: string; hostname: string },
): Distrust {
  if (code.startsWith("ERR_TLS_CERT_ALTNAME")) {
    const names = certificate?.names ?? "";
    return {
      problem: `its certificate is for ${
        names === "" ? "another name" : quoted(names)
      }, not for "${hostname}"`,
      hint: "likely the URL has another host than the one that was meant",
    };
  }
  if (code === "DEPTH_ZERO_SELF_SIGNED_CERT") {
    return {
      problem: "its certificate is self-signed",
      hint:
        "if you know that it is the right one, get it from the server's administrator, and trust it with --ca FILE",
    };
  }
  const issuer = certificate?.issuer ?? "";
  return {
    problem: `its certificate is signed by an unknown authority${
      issuer === "" ? "" : `, ${quoted(issuer)}`
    }`,
    hint:
      "--ca FILE trusts the authorities in FILE; for a public one, likely the server leaves out the certificates in between",
  };
}

/** Quotes what a stranger wrote. */
function quoted(text: string): string {
  const shown = text.length > maxShown ? `${text.slice(0, maxShown)}...` : text;
  return `"${harmless(shown)}"`;
}

/** `2026-01-31 12:00 UTC` */
function time(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
