/** One POST, with limits on time and on what is read of the answer. */
import { StartupError } from "../../common/errors.ts";

/** How long the answer may take beside the wait that was asked for, in milliseconds. */
const answerMs = 60_000;
/** How much of the answer is read, in bytes. */
const maxAnswerBytes = 4096;

/** What a server or a frontend answered. */
export interface Answer {
  readonly status: number;
  /** Whether it is staps's own account of what happened. */
  readonly isReport: boolean;
  /** The first line of the body. */
  readonly line: string;
}

/** How to post. */
export interface PostOptions {
  readonly isBinary: boolean;
  /** The unix socket to connect to. */
  readonly socket: string | undefined;
  /** The authorities to trust over TLS, in PEM, beside those that the runtime comes with. */
  readonly ca: readonly string[] | undefined;
  /** For how many seconds the server is to wait until somebody joins. */
  readonly waitS: number | undefined;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/**
 * Posts `body` to `url`, and gets the answer; `undefined` if `signal` ended it.
 *
 * @throws {StartupError} If there is no answer. The message doesn't show the path.
 */
export async function post(
  url: string,
  body: Uint8Array<ArrayBuffer>,
  { isBinary, socket, ca, waitS, signal }: PostOptions,
): Promise<Answer | undefined> {
  using client = Deno.createHttpClient({
    ...ca && { caCerts: [...ca] },
    ...socket !== undefined &&
      { proxy: { transport: "unix", path: socket } },
  });
  const late = AbortSignal.timeout((waitS ?? 0) * 1000 + answerMs);
  try {
    const response = await fetch(url, {
      method: "POST",
      body,
      redirect: "manual",
      headers: {
        "Content-Type": isBinary
          ? "application/octet-stream"
          : "text/plain; charset=utf-8",
        ...waitS === undefined ? {} : { Prefer: `wait=${waitS}` },
      },
      signal: AbortSignal.any([signal, late]),
      client,
    });
    const type = response.headers.get("content-type") ?? "";
    return {
      status: response.status,
      isReport: type.startsWith("application/json"),
      line: await firstLine(response),
    };
  } catch (error) {
    if (signal.aborted) return undefined;
    const place = socket === undefined ? new URL(url).origin : `"${socket}"`;
    throw new StartupError(
      `Cannot publish at ${place}: ${
        late.aborted ? "no answer in time" : reasonOf(error)
      }`,
    );
  }
}

async function firstLine({ body }: Response): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const part of body ?? []) {
    text += decoder.decode(part, { stream: true });
    if (text.includes("\n") || text.length > maxAnswerBytes) break;
  }
  return text.slice(0, maxAnswerBytes).split(/[\r\n]/, 1)[0]!;
}

/** Gets the last words of what the runtime says: those before them quote the URL. */
function reasonOf(error: unknown): string {
  const words = String((error as Error).message).split(": ").at(-1)!;
  return words.includes("/") ? "the connection failed" : words;
}
