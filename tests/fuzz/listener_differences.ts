/** What both listeners have to do with frames, and where the runtime's may do something else. */
import { isDeepStrictEqual } from "node:util";
import { messagesOf, type Reading, type Rule } from "./frame_model.ts";
import type { Outcome } from "./listener_pair.ts";

/** Rules of RFC 6455 that the runtime's listener lets a client break, and goes on. */
const laxities: ReadonlySet<Rule> = new Set<Rule>([
  "a frame without a mask",
  "a control frame over 125 bytes",
  "a message inside of another one",
  "a length in more bytes than needed",
  // Cut off at the end of a message in fragments.
  "text that isn't UTF-8",
]);

/** A registered code (RFC 6455 section 11.7) that the runtime answers with 1002. */
const unknownCode = 1014;

/** Gets what the own listener has to do. `own` tells what is left to it. */
export function expectedOutcome(
  { events, end }: Reading,
  own: Outcome,
): Outcome {
  const messages = messagesOf(events);
  const frames = events
    .filter(({ kind }) => kind === "ping")
    .map(({ payload }) => `pong ${payload.toHex()}`);
  if (end.kind === "between") return { messages, frames, closed: "open" };
  if (end.kind === "inside") {
    // The client has ended its side: pongs that aren't written then go nowhere.
    const written = frames.slice(0, own.frames.length);
    return { messages, frames: written, closed: undefined };
  }
  const closed = end.kind === "close" ? end.code : undefined;
  return { messages, frames: [...frames, `close ${end.code}`], closed };
}

/** Gets what became of some bytes at both listeners, in words; `undefined` for a difference that nothing excuses. */
export function compareOutcomes(
  { end }: Reading,
  { own, runtimes }: { own: Outcome; runtimes: Outcome },
): string | undefined {
  if (isDeepStrictEqual(own, runtimes)) {
    if (end.kind === "broken") return `${end.rule}: the same close by both`;
    return end.kind === "close"
      ? "a close frame: answered alike"
      : "no fault: the same by both";
  }
  if (
    !isDeepStrictEqual(
      own.messages,
      runtimes.messages.slice(0, own.messages.length),
    )
  ) {
    return undefined;
  }
  const isLost = runtimes.closed === undefined &&
    runtimes.messages.length === own.messages.length;
  switch (end.kind) {
    case "between":
      return undefined;
    case "inside":
      // Pongs, when the client has ended its side.
      return isLost ? "cut off: the same messages by both" : undefined;
    case "close":
      // Rare, and not the same the next time.
      if (
        isLost && isDeepStrictEqual(runtimes.frames, own.frames.slice(0, -1))
      ) {
        return "a close frame: no answer from the runtime's";
      }
      return end.code === unknownCode && isLost &&
          runtimes.frames.at(-1) === "close 1002"
        ? "a close frame with 1014: 1002 from the runtime's"
        : undefined;
    case "broken":
      if (isLost && !runtimes.frames.at(-1)?.startsWith("close")) {
        return `${end.rule}: no close frame from the runtime's`;
      }
      return laxities.has(end.rule)
        ? `${end.rule}: the runtime's goes on`
        : undefined;
  }
}
