/** The message in the body of a POST. */
import { isUtf8 } from "node:buffer";
import { opcodes } from "../listener/frames.ts";
import { MessageBuffer } from "../listener/message_buffer.ts";
import { BodyError } from "../listener/request_body.ts";
import { type Refusal, refusal } from "./handshake.ts";
import { type Message, messageIn } from "./message.ts";

/** Types of bodies that are text beside `text/*` and those that end with `+json`. */
const textTypes: ReadonlySet<string> = new Set([
  "application/json",
  "application/x-www-form-urlencoded",
]);

/**
 * Reads the body of `request` as one message, or tells why it is none.
 *
 * It is text if its type says so or is absent, and then it must be UTF-8;
 * anything else is binary.
 */
export async function readPostedMessage(
  request: Request,
  { messageBytes }: { messageBytes: number },
): Promise<Message | Refusal> {
  const { headers } = request;
  const length = headers.get("content-length");
  if (length === null && !headers.has("transfer-encoding")) {
    return refusal(411, 'The header "Content-Length" is missing');
  }
  if (Number(length) > messageBytes) return tooLarge(messageBytes);
  const body = new MessageBuffer();
  const refused = await readBody(request, body, messageBytes);
  if (refused !== undefined) {
    body.discard();
    return refused;
  }
  const { isAscii, payloadBytes } = body;
  const isText = isTextType(headers.get("content-type") ?? "");
  const frame = body.toFrame(isText ? opcodes.text : opcodes.binary);
  const message = messageIn(frame, { isText, payloadBytes });
  return isText && !isAscii && !isUtf8(message.payload)
    ? refusal(400, "The body is text, and isn't UTF-8")
    : message;
}

/** Tells whether a body of the media type `type` (RFC 9110 section 8.3.1) is text. */
export function isTextType(type: string): boolean {
  const essence = type.split(";", 1)[0]!.trim().toLowerCase();
  return essence === "" || /^text\/[^/\s]+$/.test(essence) ||
    /^[^/\s]+\/[^/\s]+\+json$/.test(essence) || textTypes.has(essence);
}

/**
 * Reads the body into `buffer`, or tells why it can't. Parts aren't kept: one of
 * a single byte has as much memory around it as the listener reads at a time.
 */
async function readBody(
  { body }: Request,
  buffer: MessageBuffer,
  maxBytes: number,
): Promise<Refusal | undefined> {
  try {
    for await (const part of body ?? []) {
      // A reload may have changed the limit since the listener looked.
      if (buffer.payloadBytes + part.length > maxBytes) {
        return tooLarge(maxBytes);
      }
      buffer.append(part, 0, part.length, { key: 0, mostBytes: maxBytes });
    }
    return undefined;
  } catch (error) {
    if (!(error instanceof BodyError)) throw error;
    if (error.status === 413) return tooLarge(maxBytes);
    return refusal(error.status, error.message);
  }
}

function tooLarge(maxBytes: number): Refusal {
  return refusal(413, `The message has more than ${maxBytes} bytes`);
}
