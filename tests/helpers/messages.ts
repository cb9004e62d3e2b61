/** Messages as tests write them, and as they compare them. */
import { makeMessage, type Message } from "../../src/relay/message.ts";
import { FrameReader, opcodes } from "../../tools/frames.ts";

/** What a message says: text, or bytes. Assertions compare it as it is. */
export type Content = string | Uint8Array<ArrayBuffer>;

/** Gets a text message. */
export function text(content: string): Message {
  return makeMessage(new TextEncoder().encode(content), { isText: true });
}

/** Gets a binary message. */
export function binary(content: Iterable<number>): Message {
  return makeMessage(Uint8Array.from(content), { isText: false });
}

/** Gets the message that says `content`. */
export function messageOf(content: Content): Message {
  return typeof content === "string" ? text(content) : binary(content);
}

/**
 * Gets what `message` says.
 *
 * @throws {TypeError} If it is text that isn't UTF-8: no client may get that.
 */
export function contentOf({ isText, payload }: Message): Content {
  return isText ? utf8.decode(payload) : payload.slice();
}

/** Gets what the messages in `frames` say: whole frames without a mask (RFC 6455 section 5.2). */
export function contentsIn(frames: Uint8Array): Content[] {
  const contents: Content[] = [];
  const reader = new FrameReader({
    onFrame: (data, { opcode, start, end }) => {
      const payload = data.slice(start, end);
      contents.push(opcode === opcodes.text ? utf8.decode(payload) : payload);
    },
  });
  reader.read(frames.slice(), frames.length);
  return contents;
}

/** The bytes as they are: neither replaced, nor a byte order mark taken away. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
