/**
 * What may be published of the bytes that a client sends, decided apart from
 * staps and its runtime: RFC 6455, with the leniency that docs/protocol.md
 * tells of under "What the runtime lets through".
 */
import { concat, opcodes } from "../helpers/raw_client.ts";
import type { Received } from "../helpers/ws_client.ts";

/** Gets the messages in `bytes`, frames one after the other, up to the first that isn't allowed. */
export function publishable(
  bytes: Uint8Array<ArrayBuffer>,
  { maxBytes }: { maxBytes: number },
): Received[] {
  const messages: Received[] = [];
  let fragments:
    | { text: boolean; parts: Uint8Array<ArrayBuffer>[] }
    | undefined;
  for (let at = 0;;) {
    const frame = readFrame(bytes, at);
    if (frame === undefined) return messages;
    at = frame.end;
    const { fin, opcode, payload } = frame;
    if (frame.rsv !== 0) return messages;
    switch (opcode) {
      case opcodes.ping:
      case opcodes.pong:
        if (!fin) return messages;
        continue;
      case opcodes.continuation:
        if (fragments === undefined) return messages;
        fragments.parts.push(payload);
        break;
      case opcodes.text:
      case opcodes.binary:
        // Inside of another message it replaces that.
        fragments = { text: opcode === opcodes.text, parts: [payload] };
        break;
      default:
        return messages;
    }
    if (!fin) continue;
    const whole = concat(fragments.parts);
    if (whole.length > maxBytes) return messages;
    const message = fragments.text
      ? readText(whole, { fragmented: fragments.parts.length > 1 })
      : whole;
    if (message === undefined) return messages;
    messages.push(message);
    fragments = undefined;
  }
}

interface Frame {
  readonly fin: boolean;
  readonly rsv: number;
  readonly opcode: number;
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly end: number;
}

/** Gets the frame at `at`; `undefined` if it isn't all there. */
function readFrame(
  bytes: Uint8Array<ArrayBuffer>,
  at: number,
): Frame | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const has = (end: number): boolean => end <= bytes.length;
  if (!has(at + 2)) return undefined;
  const [first, second] = [bytes[at]!, bytes[at + 1]!];
  let start = at + 2;
  let length = second & 0x7f;
  if (length >= 126) {
    const width = length === 126 ? 2 : 8;
    if (!has(start + width)) return undefined;
    length = width === 2
      ? view.getUint16(start)
      : Number(view.getBigUint64(start));
    start += width;
  }
  const masked = (second & 0x80) !== 0;
  if (!has(start + (masked ? 4 : 0))) return undefined;
  const mask = masked ? bytes.subarray(start, start + 4) : undefined;
  start += masked ? 4 : 0;
  if (!has(start + length)) return undefined;
  const payload = bytes.slice(start, start + length);
  if (mask) payload.forEach((byte, i) => payload[i] = byte ^ mask[i % 4]!);
  return {
    fin: (first & 0x80) !== 0,
    rsv: first >> 4 & 7,
    opcode: first & 15,
    payload,
    end: start + length,
  };
}

function readText(
  bytes: Uint8Array,
  { fragmented }: { fragmented: boolean },
): string | undefined {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    // In a fragmented one the runtime drops a character that is cut at the end.
    return decoder.decode(bytes, { stream: fragmented });
  } catch {
    return undefined;
  }
}
