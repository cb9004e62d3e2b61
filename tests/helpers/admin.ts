/** Asking an admin socket. */
import { type Answer, request } from "./http.ts";

/** Gets the answer to a request on the unix socket `socket`. */
export function ask(
  socket: string,
  path: string,
  method = "GET",
): Promise<Answer> {
  return request({ socket }, { path, method });
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
