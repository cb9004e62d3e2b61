/** What a frame reader finds, in words. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  type FrameEvent,
  type FrameReader,
  minBufferBytes,
} from "../../src/listener/frame_reader.ts";
import { newBlock } from "../../src/listener/unmask.ts";
import { frameBytes, opcodes } from "../../tools/raw_client.ts";

/** Used in turn, as a connection's: an event that pointed into one would be overwritten. */
const defaultBuffers = [newBlock(minBufferBytes), newBlock(16 * 1024)];
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Gets what `reader` finds in `pieces`, up to the first close frame or fault: `text a`, `ping 31`, `fault 1002 why`. */
export function readEvents(
  reader: FrameReader,
  pieces: Iterable<Uint8Array>,
  buffers = defaultBuffers,
): string[] {
  const events: FrameEvent[] = [];
  for (const event of eventsIn(reader, pieces, buffers)) {
    events.push(event);
    if (event.kind === "fault" || event.kind === "close") break;
  }
  // Not before: what was handed over must be its own memory.
  return events.map(inWords);
}

function* eventsIn(
  reader: FrameReader,
  pieces: Iterable<Uint8Array>,
  buffers: typeof defaultBuffers,
): Generator<FrameEvent> {
  let turn = 0;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length;) {
      reader.useBuffer(buffers[turn++ % buffers.length]!);
      const { space } = reader;
      assert.ok(space.length > 0, "a reader always has space for more");
      const part = piece.subarray(at, at + space.length);
      space.set(part);
      reader.filled(part.length);
      at += part.length;
      for (let event; (event = reader.next()) !== undefined;) yield event;
    }
  }
}

function inWords(event: FrameEvent): string {
  switch (event.kind) {
    case "message": {
      const { payload, frame, isText } = event;
      const opcode = isText ? opcodes.text : opcodes.binary;
      const shortest = frameBytes(opcode, payload, { mask: false });
      assert.ok(
        Buffer.compare(frame, shortest) === 0,
        "not what receivers get",
      );
      return payloadInWords(isText ? "text" : "binary", payload);
    }
    case "ping":
      return payloadInWords("ping", event.payload);
    case "pong":
      return "pong";
    default:
      return `${event.kind} ${event.code} ${event.reason}`;
  }
}

/** Gets the payload of a message or a ping, as {@linkcode readEvents} has it. */
export function payloadInWords(kind: string, payload: Uint8Array): string {
  return `${kind} ${
    kind === "text" ? decoder.decode(payload) : payload.toHex()
  }`;
}
