/**
 * What was published in a channel and nobody got yet: a few reads' worth at
 * most. It goes out in one write per receiver, from one buffer that all share.
 */
import { joinFrames } from "../listener/frames.ts";
import { release } from "../common/large_memory.ts";
import type { Client } from "./client.ts";
import type { Message } from "./message.ts";

/** So many bytes wait for the end of the turn; with more they go out at once. */
export const maxTurnBytes = 64 * 1024;

/** Messages of one channel, in their order. */
export class Turn {
  /** The frames, and beside each who published it: `undefined` for a client of another node. */
  #frames: Uint8Array<ArrayBuffer>[] = [];
  #publishers: (Client | undefined)[] = [];
  #bytes = 0;

  /** The size of all frames together, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a message of `publisher`. */
  add({ frame }: Message, publisher: Client | undefined): void {
    this.#frames.push(frame);
    this.#publishers.push(publisher);
    this.#bytes += frame.length;
  }

  /** Sends every message to all of `members` but the one who published it, and forgets them. */
  sendTo(
    members: ReadonlySet<Client>,
    send: (member: Client, frames: Uint8Array<ArrayBuffer>) => void,
  ): void {
    if (this.#bytes === 0) return;
    const frames = this.#frames;
    const publishers = this.#publishers;
    const [first] = publishers;
    const all = joinFrames(frames);
    this.#bytes = 0;
    // Nearly always one client published everything.
    if (publishers.every((each) => each === first)) {
      // Emptied, and not made anew: for single messages that costs more than the rest.
      frames.length = 0;
      publishers.length = 0;
      for (const member of members) if (member !== first) send(member, all);
      // A large message is alone in its turn.
      release(all);
      return;
    }
    this.#frames = [];
    this.#publishers = [];
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
