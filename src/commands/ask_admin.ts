/** Asking a node for its status, on its admin socket. Whoever answers there may be no staps. */
import type { Status } from "../admin/status.ts";
import { statusProblem } from "../admin/status_shape.ts";
import { StartupError } from "../common/errors.ts";
import { harmless } from "../common/terminal.ts";
import { within } from "../common/timing.ts";

/** How long a node may take to answer, to the last byte, in milliseconds. */
const answerMs = 5000;
/** The longest answer that is read, in bytes. A node's has 2 to 4 KiB. */
const maxAnswerBytes = 64 * 1024;

/**
 * Gets the status of the node whose admin socket is `socket`. Its shape is
 * checked; its texts may be anything.
 *
 * @throws {StartupError} If there is none, or what answers isn't a status, in time and of a sane size.
 */
export async function askAdmin(socket: string): Promise<Status> {
  let answer;
  try {
    answer = JSON.parse(await ask(socket));
  } catch (error) {
    const [reason, hint] = explain(error as Error);
    throw new StartupError(`Cannot ask "${socket}": ${reason}`, {
      cause: error,
      ...hint === undefined ? {} : { hint },
    });
  }
  const problem = statusProblem(answer);
  if (problem === undefined) return answer;
  throw new StartupError(
    `Cannot ask "${socket}": that is no staps, or one of another version: ${problem}`,
  );
}

/** Gets the answer to `/status`. @throws {Error} If there is none in time, or it can't be one. */
async function ask(socket: string): Promise<string> {
  // The runtime's HTTP client doesn't tell what went wrong; this does.
  (await Deno.connect({ transport: "unix", path: socket })).close();
  using client = Deno.createHttpClient({
    proxy: { transport: "unix", path: socket },
  });
  // Not AbortSignal.timeout(): one that nobody holds may be collected before it fires.
  const late = new AbortController();
  try {
    return await within(fetchText(client, late.signal), answerMs, () => {
      throw new Error(`no whole answer in ${answerMs / 1000} s`);
    });
  } finally {
    late.abort();
  }
}

async function fetchText(
  client: Deno.HttpClient,
  signal: AbortSignal,
): Promise<string> {
  const { status, body } = await fetch("http://localhost/status", {
    client,
    signal,
    redirect: "manual",
  });
  if (status === 200) return await readText(body);
  throw new Error(`got HTTP status ${status}, expected 200`);
}

/** Gets all of a body as text. @throws {RangeError} If it is longer than an answer may be. */
async function readText(
  body: ReadableStream<Uint8Array> | null,
): Promise<string> {
  const decoder = new TextDecoder();
  let bytes = 0;
  let text = "";
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    // The loop's end cancels the rest.
    if (bytes > maxAnswerBytes) {
      throw new RangeError(
        `the answer has more than ${maxAnswerBytes / 1024} KiB`,
      );
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
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
  return [
    error instanceof SyntaxError
      ? "that is no staps: the answer isn't JSON"
      // It may quote what came.
      : harmless(error.message),
  ];
}
