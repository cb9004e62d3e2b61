/**
 * Messages as events of an event stream
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 */
import { Buffer } from "node:buffer";
import { messagesIn } from "../listener/frames.ts";

const carriageReturn = 0x0d;

/** What frames were made into: everybody who listens gets the same. */
const known = new WeakMap<Uint8Array, Uint8Array<ArrayBuffer>>();

/**
 * Gets the messages in `frames`, whole ones, as events: text as `data` lines;
 * binary as an event `binary` in base64. Text with a carriage return, which no
 * `data` line can carry, is an event `text` in base64.
 */
export function eventsOf(
  frames: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const before = known.get(frames);
  if (before !== undefined) return before;
  let events = "";
  for (const { isText, payload } of messagesIn(frames)) {
    events += eventOf(payload, isText);
  }
  const bytes = Buffer.from(events);
  known.set(frames, bytes);
  return bytes;
}

/** Gets the last event of a stream, with when to come back if `reason` says so. */
export function closeEvent(
  code: number,
  reason: string,
): Uint8Array<ArrayBuffer> {
  const retryMs = /\bretry=(\d+)$/.exec(reason)?.[1];
  const retry = retryMs === undefined ? "" : `retry: ${retryMs}\n`;
  const data = JSON.stringify({ code, reason });
  return Buffer.from(`event: close\n${retry}data: ${data}\n\n`);
}

/** Gets the beginning of a stream, which tells after how many milliseconds to come back if the connection is lost. */
export function firstLines(retryMs: number): Uint8Array<ArrayBuffer> {
  return Buffer.from(`retry: ${retryMs}\n\n`);
}

/** A line that says nothing, for connections that mustn't be silent. */
export const comment: Uint8Array<ArrayBuffer> = Buffer.from(":\n\n");

function eventOf(payload: Uint8Array<ArrayBuffer>, isText: boolean): string {
  const { buffer, byteOffset, byteLength } = payload;
  const bytes = Buffer.from(buffer, byteOffset, byteLength);
  if (isText && !bytes.includes(carriageReturn)) {
    return `data: ${bytes.toString().replaceAll("\n", "\ndata: ")}\n\n`;
  }
  const kind = isText ? "text" : "binary";
  return `event: ${kind}\ndata: ${bytes.toString("base64")}\n\n`;
}
