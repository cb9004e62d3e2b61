/** Asking an admin socket. */

/** An answer of an admin socket. */
export interface AdminAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Gets the answer to a request on the unix socket `socket`. */
export async function ask(
  socket: string,
  path: string,
  method = "GET",
): Promise<AdminAnswer> {
  using client = Deno.createHttpClient({
    proxy: { transport: "unix", path: socket },
  });
  const answer = await fetch(`http://localhost${path}`, { client, method });
  const { status, headers } = answer;
  return { status, headers, text: await answer.text() };
}

/** Gets the samples in Prometheus's text format: `name{label="value"}` to number. */
export function readSamples(text: string): Map<string, number> {
  return new Map(
    text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => {
        const blank = line.lastIndexOf(" ");
        return [line.slice(0, blank), Number(line.slice(blank + 1))];
      }),
  );
}
