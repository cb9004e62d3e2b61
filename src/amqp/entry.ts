/** One thing that waits in the outbox, and becomes one AMQP message. */
import type { Message } from "../relay/message.ts";
import type { Kind } from "./envelope.ts";
import type { Membership } from "./membership.ts";

/** A channel whose messages are numbered here. */
export type Numbered = Pick<Membership, "key" | "lastSequence" | "lastSent">;

/** Something to send; what the fields mean stands in `Envelope`. */
export interface Entry {
  readonly key: string;
  /** Absent in a notice. */
  readonly channel?: Numbered;
  kind: Kind;
  sequence: number;
  since: number;
  /** What clients sent; a notice has none. */
  readonly messages: Message[];
  /** The size of the messages together; of a notice that of the largest entry concerned. */
  bytes: number;
  /** What it counts towards the limit. */
  cost: number;
  /** Whether somebody waits for what becomes of it, see `posts.ts`. */
  isPosted?: boolean;
  /** `replaced`: a notice tells of it, so that it isn't sent again; `returned`: nobody was there for it. */
  state: "waiting" | "confirmed" | "replaced" | "returned";
}

/** Tells whether an entry of this kind stands in place of messages. */
export function isNotice(kind: Kind): kind is "lost" | "rejected" {
  return kind === "lost" || kind === "rejected";
}
