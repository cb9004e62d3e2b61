/**
 * What was published in a channel and nobody got yet: a few reads' worth at
 * most. It goes out in one write per receiver, from one buffer that all share.
 */
import type { Client } from "./client.ts";
import type { Message } from "./message.ts";

/** So many bytes wait for the end of the turn; with more they go out at once. */
export const maxTurnBytes = 64 * 1024;

/** Messages of one channel, in their order. */
export class Turn {
  readonly #messages: Message[] = [];
  /** Who published each of them; `undefined` for a client of another node. */
  readonly #publishers: (Client | undefined)[] = [];
  #bytes = 0;

  /** The size of all frames together, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a message of `publisher`. */
  add(message: Message, publisher: Client | undefined): void {
    this.#messages.push(message);
    this.#publishers.push(publisher);
    this.#bytes += message.frame.length;
  }

  /** Sends every message to all of `members` but the one who published it, and forgets them. */
  sendTo(
    members: ReadonlySet<Client>,
    send: (member: Client, frames: Uint8Array<ArrayBuffer>) => void,
  ): void {
    const frames = this.#messages.map(({ frame }) => frame);
    const publishers = this.#publishers.splice(0);
    this.#messages.length = 0;
    this.#bytes = 0;
    const all = join(frames);
    const [first] = publishers;
    // Nearly always one client published everything.
    if (publishers.every((each) => each === first)) {
      for (const member of members) if (member !== first) send(member, all);
      return;
    }
    const authors = new Set(publishers);
    for (const member of members) {
      if (!authors.has(member)) send(member, all);
      else sendOthers(member, { all, frames, publishers }, send);
    }
  }
}

/** Sends a member who published some of `all` the rest, in as few pieces as it has. */
function sendOthers(
  member: Client,
  { all, frames, publishers }: {
    all: Uint8Array<ArrayBuffer>;
    frames: readonly Uint8Array[];
    publishers: readonly (Client | undefined)[];
  },
  send: (member: Client, frames: Uint8Array<ArrayBuffer>) => void,
): void {
  let start = 0;
  let end = 0;
  for (const [index, frame] of frames.entries()) {
    if (publishers[index] === member) {
      if (end > start) send(member, all.subarray(start, end));
      start = end + frame.length;
    }
    end += frame.length;
  }
  if (end > start) send(member, all.subarray(start, end));
}

/** Gets `frames` as one: those of one read lie one behind the other already. */
function join(
  frames: readonly Uint8Array<ArrayBuffer>[],
): Uint8Array<ArrayBuffer> {
  const [first] = frames;
  if (frames.length === 1) return first!;
  let end = first!.byteOffset;
  let bytes = 0;
  let adjoin = true;
  for (const { buffer, byteOffset, length } of frames) {
    adjoin &&= buffer === first!.buffer && byteOffset === end;
    end = byteOffset + length;
    bytes += length;
  }
  if (adjoin) return new Uint8Array(first!.buffer, first!.byteOffset, bytes);
  const joined = new Uint8Array(bytes);
  let at = 0;
  for (const frame of frames) {
    joined.set(frame, at);
    at += frame.length;
  }
  return joined;
}
