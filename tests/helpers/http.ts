/** HTTP requests to a server's unix socket. */

/** A server that {@linkcode request} asks. */
export interface HttpTarget {
  readonly socket: string;
}

/** The whole of an answer. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** How to ask. */
export interface RequestOptions extends RequestInit {
  /** The path and query; `/` by default. */
  readonly path?: string;
}

/** Makes a request, and gets the whole answer. */
export async function request(
  { socket }: HttpTarget,
  { path = "/", ...init }: RequestOptions = {},
): Promise<Answer> {
  using client = Deno.createHttpClient({
    proxy: { transport: "unix", path: socket },
    allowHost: true,
  });
  const response = await fetch(`http://localhost${path}`, { ...init, client });
  const { status, headers } = response;
  return { status, headers, text: await response.text() };
}
