/** What travels through a channel: text or bytes, and the frame that carries it. */
import {
  headBytes,
  messageFrame,
  opcodes,
  writeHead,
} from "../listener/frames.ts";
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

/**
 * Gets the messages that have these payloads, as {@linkcode makeMessage} does.
 * Their frames lie one behind the other, so that they can be sent as one.
 */
export function makeMessages(
  contents: readonly Pick<Message, "isText" | "payload">[],
): Message[] {
  let bytes = 0;
  for (const { payload: { length } } of contents) {
    bytes += headBytes(length) + length;
  }
  const frames = new Uint8Array(bytes);
  let at = 0;
  return contents.map(({ isText, payload }) => {
    const start = at + headBytes(payload.length);
    writeHead(
      frames,
      at,
      isText ? opcodes.text : opcodes.binary,
      payload.length,
    );
    frames.set(payload, start);
    const frame = frames.subarray(at, start + payload.length);
    at = start + payload.length;
    return { isText, frame, payload: frames.subarray(start, at) };
  });
}

/** Gets the message whose frame is `frame`. */
export function messageIn(
  frame: Uint8Array<ArrayBuffer>,
  { isText, payloadBytes }: { isText: boolean; payloadBytes: number },
): Message {
  const payload = frame.subarray(frame.length - payloadBytes);
  return { isText, frame, payload };
}
