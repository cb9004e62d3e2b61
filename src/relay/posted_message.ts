/** The message in the body of a POST. */
import { Buffer, isUtf8 } from "node:buffer";
import { BodyError } from "../listener/request_body.ts";
import { type Refusal, refusal } from "./handshake.ts";
import { makeMessage, type Message } from "./message.ts";

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
  const body = await readBody(request, messageBytes);
  if ("status" in body) return body;
  const isText = isTextType(headers.get("content-type") ?? "");
  return isText && !isUtf8(body)
    ? refusal(400, "The body is text, and isn't UTF-8")
    : makeMessage(body, { isText });
}

/** Tells whether a body of the media type `type` (RFC 9110 section 8.3.1) is text. */
export function isTextType(type: string): boolean {
  const essence = type.split(";", 1)[0]!.trim().toLowerCase();
  return essence === "" || /^text\/[^/\s]+$/.test(essence) ||
    /^[^/\s]+\/[^/\s]+\+json$/.test(essence) || textTypes.has(essence);
}

async function readBody(
  { body }: Request,
  maxBytes: number,
): Promise<Buffer | Refusal> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const part of body ?? []) {
      parts.push(part);
      bytes += part.length;
      // A reload may have changed the limit since the listener looked.
      if (bytes > maxBytes) return tooLarge(maxBytes);
    }
  } catch (error) {
    if (!(error instanceof BodyError)) throw error;
    if (error.status === 413) return tooLarge(maxBytes);
    return refusal(error.status, error.message);
  }
  return Buffer.concat(parts);
}

function tooLarge(maxBytes: number): Refusal {
  return refusal(413, `The message has more than ${maxBytes} bytes`);
}
