/**
 * Whether clients get through the frontend to this staps, found out by being
 * two of them: no look at processes and files tells as much.
 */
import { within } from "../../common/timing.ts";
import { UsageError } from "../../common/errors.ts";
import { Connection } from "../join/connection.ts";
import { ConnectError } from "../join/connect_error.ts";
import { trustOf } from "../join/trust.ts";
import { type Finding, Findings } from "./finding.ts";

/** What {@linkcode checkThrough} needs. */
export interface ThroughOptions {
  /** What `--through` said: the frontend's URL, without a path. */
  readonly url: string;
  /** What `--ca` said: a PEM file with the authorities to trust, instead of the system's. */
  readonly ca: string | undefined;
  /** The socket of the configuration; `undefined` if there can be none. */
  readonly socket: string | undefined;
}

/** How long a message through the frontend may take, in milliseconds. */
const messageMs = 5_000;

/** A path that can be guessed. */
const guessable = "/staps-check";

/**
 * Joins a fresh channel through the frontend, and says what came back.
 *
 * @throws {UsageError} If the URL can't be used.
 */
export async function checkThrough(
  { url, ca, socket }: ThroughOptions,
): Promise<Finding[]> {
  const findings = new Findings("frontend");
  const origin = originOf(url);
  const trust = await trustOf(ca === undefined ? {} : { ca });
  const path = `/${crypto.randomUUID()}`;
  const message = crypto.randomUUID();
  const through = (where: string): Connection =>
    new Connection(origin + where, { trust });
  const first = through(path);
  try {
    await first.opened;
    const second = through(path);
    try {
      await second.opened;
      if (!await passes(first, { to: second, message })) {
        findings.fail(
          `Two clients of one channel don't hear each other through ${origin}`,
          "the frontend has to pass the same path to the same staps: hash by the path where there are several",
        );
        return findings.all;
      }
    } finally {
      await second.close();
    }
    findings.ok(`clients talk through ${origin}`);
    if (socket !== undefined) {
      await checkIdentity(findings, { origin, path, socket, first });
    }
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    findings.fail(error.message, error.hint);
    return findings.all;
  } finally {
    await first.close();
  }
  if (await opens(through(guessable))) {
    findings.warn(
      `${origin} lets clients join channels whose paths can be guessed`,
      "let the frontend pass on UUIDs of version 4 only, as the examples do",
    );
  }
  return findings.all;
}

/** Looks whether it is the staps of this configuration that answers there. */
async function checkIdentity(
  findings: Findings,
  { origin, path, socket, first }: {
    origin: string;
    path: string;
    socket: string;
    first: Connection;
  },
): Promise<void> {
  const direct = new Connection(`ws://localhost${path}`, { socket });
  try {
    await direct.opened;
    const message = crypto.randomUUID();
    if (await passes(first, { to: direct, message })) return;
    findings.fail(
      `Another staps answers at ${origin} than the one at "${socket}"`,
      "see which socket the frontend names, and whether staps has bound it anew since: restart the frontend where it has mounted the file",
    );
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    findings.warn(
      `Whether it is the staps at "${socket}" that answers at ${origin} isn't known: ${error.message}`,
      error.hint,
    );
  } finally {
    await direct.close();
  }
}

/** Tells whether `message` gets from one client to the other. */
async function passes(
  from: Connection,
  { to, message }: { to: Connection; message: string },
): Promise<boolean> {
  const got = Promise.withResolvers<boolean>();
  to.onMessage = (each) => {
    if (each === message) got.resolve(true);
  };
  await from.send(message);
  return await within(got.promise, messageMs, () => false);
}

async function opens(connection: Connection): Promise<boolean> {
  try {
    await connection.opened;
    return true;
  } catch {
    return false;
  } finally {
    await connection.close();
  }
}

/** Gets `wss://host:port` of what was given, with any of the four schemes. */
function originOf(text: string): string {
  const url = URL.parse(text.replace(/^http/i, "ws"));
  const isRoot = url?.pathname === "/" && url.search === "" && url.hash === "";
  if (url === null || !isRoot || !/^wss?:$/.test(url.protocol)) {
    throw new UsageError(
      "Cannot check through that: expected a URL without a path, such as wss://staps.example.org",
    );
  }
  return `${url.protocol}//${url.host}`;
}
