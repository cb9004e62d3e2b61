/** Standard input as one message. */
import { isUtf8 } from "node:buffer";
import { InputError, readWhole } from "../join/input.ts";

/**
 * Gets all of `input`. Of text the line feed at its end is left out, which
 * `echo` and editors add.
 *
 * @throws {InputError} If it is no text and ought to be, or too long for any server.
 */
export async function readMessage(
  input: ReadableStream<Uint8Array>,
  { isBinary }: { isBinary: boolean },
): Promise<Uint8Array<ArrayBuffer>> {
  let message = new Uint8Array(0);
  for await (const whole of readWhole(input)) message = whole;
  if (isBinary) return message;
  if (!isUtf8(message)) {
    throw new InputError("Cannot publish the input: it isn't UTF-8", {
      hint: "--binary publishes any bytes",
    });
  }
  return message.at(-1) === lineFeed ? message.subarray(0, -1) : message;
}

const lineFeed = 0x0a;
