/** What travels through a channel: text or bytes, and the frame that carries it. */
import { messageFrame } from "../listener/frames.ts";
import type { Message } from "../listener/socket.ts";

export type { Message } from "../listener/socket.ts";

/** Gets the message that has `payload`, which must be UTF-8 if it is text. */
export function makeMessage(
  payload: Uint8Array,
  { isText }: { isText: boolean },
): Message {
  const frame = messageFrame(payload, { isText });
  return messageIn(frame, { isText, payloadBytes: payload.length });
}

/** Gets the message whose frame is `frame`. */
export function messageIn(
  frame: Uint8Array<ArrayBuffer>,
  { isText, payloadBytes }: { isText: boolean; payloadBytes: number },
): Message {
  const payload = frame.subarray(frame.length - payloadBytes);
  return { isText, frame, payload };
}
