/** Asking a node for its status, on its admin socket. */
import type { Status } from "../admin/status.ts";
import { StartupError } from "../common/errors.ts";

/** How long a node may take to answer, in milliseconds. */
const answerMs = 5000;

/**
 * Gets the status of the node whose admin socket is `socket`.
 *
 * @throws {StartupError} If there is none, or it doesn't answer.
 */
export async function askAdmin(socket: string): Promise<Status> {
  try {
    // The runtime's HTTP client doesn't tell what went wrong; this does.
    (await Deno.connect({ transport: "unix", path: socket })).close();
    using client = Deno.createHttpClient({
      proxy: { transport: "unix", path: socket },
    });
    const answer = await fetch("http://localhost/status", {
      client,
      signal: AbortSignal.timeout(answerMs),
    });
    if (!answer.ok) throw new Error(`got HTTP status ${answer.status}`);
    return await answer.json();
  } catch (error) {
    const [reason, hint] = explain(error as Error);
    throw new StartupError(`Cannot ask "${socket}": ${reason}`, {
      cause: error,
      ...hint === undefined ? {} : { hint },
    });
  }
}

function explain(error: Error): [reason: string, hint?: string] {
  if (error instanceof Deno.errors.NotFound) {
    return ["there is no such socket", "is staps running?"];
  }
  if (error instanceof Deno.errors.ConnectionRefused) {
    return ["nobody answers there", "is staps running?"];
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return [
      "permission denied",
      "ask as root, or as a member of the socket's group",
    ];
  }
  if (error.name === "TimeoutError") {
    return [`no answer in ${answerMs / 1000} s`];
  }
  return [error instanceof SyntaxError ? "that is no staps" : error.message];
}
