/** Standard input as messages. */
import { AdminError } from "../../common/errors.ts";
import { maxMessageBytes } from "./connection.ts";

/** Standard input that isn't what it should be. Exit status 65 (EX_DATAERR, sysexits.h). */
export class InputError extends AdminError {
  readonly exitCode = 65;
}

/** Gets each line of `input`; the last one may lack its line feed. */
export async function* readLines(
  input: ReadableStream<Uint8Array>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let rest = "";
  const decode = (chunk?: Uint8Array): string => {
    try {
      return chunk === undefined
        ? decoder.decode()
        : decoder.decode(chunk, { stream: true });
    } catch (error) {
      throw new InputError("Cannot publish the input: it isn't UTF-8", {
        cause: error,
        hint: "--binary publishes any bytes",
      });
    }
  };
  for await (const chunk of input) {
    const lines = (rest + decode(chunk)).split("\n");
    rest = lines.pop()!;
    if (rest.length > maxMessageBytes) throw tooLong("a line");
    yield* lines;
  }
  rest += decode();
  if (rest !== "") yield rest;
}

/** Gets all of `input` as one message, or nothing if there is none. */
export async function* readWhole(
  input: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    bytes += chunk.length;
    if (bytes > maxMessageBytes) throw tooLong("the input");
    chunks.push(new Uint8Array(chunk));
  }
  if (bytes > 0) yield new Uint8Array(await new Blob(chunks).arrayBuffer());
}

function tooLong(what: string): InputError {
  return new InputError(
    `Cannot publish ${what}: it has more than ${
      maxMessageBytes / 1024 / 1024
    } MiB, which no server takes`,
  );
}
