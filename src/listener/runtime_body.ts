/** Gives the bodies of the runtime's requests the limits that those of the own listener have, as far as that goes. */
import { within } from "../common/timing.ts";
import { bodyStallS, bodyTooSlow } from "./body_reader.ts";
import { bodyTooLarge } from "./request_body.ts";

/**
 * Gets `request` with a body that throws a `BodyError` when it is larger than
 * `maxBytes`, or when nothing of it comes for {@linkcode bodyStallS}.
 */
export function withBoundedBody(request: Request, maxBytes: number): Request {
  const { method, headers, signal } = request;
  const body = ReadableStream.from(bounded(request.body!, maxBytes));
  return new Request(request.url, { method, headers, signal, body });
}

async function* bounded(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  maxBytes: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader();
  const late = (): never => {
    throw bodyTooSlow();
  };
  let bytes = 0;
  while (true) {
    const next = await within(reader.read(), bodyStallS * 1000, late);
    if (next.done) return;
    bytes += next.value.length;
    if (bytes > maxBytes) throw bodyTooLarge(maxBytes);
    yield next.value;
  }
}
