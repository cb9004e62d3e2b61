/**
 * A small relay that does what staps does, or breaks one promise deliberately:
 * a checker that finds nothing wrong with it is itself wrong.
 */
import { within } from "../../src/common/timing.ts";
import { TempFolder } from "../../tools/folder.ts";
import type { ViolationKind } from "./verdict.ts";

/** What a member gets. */
type Data = string | ArrayBuffer;

/** A connection. */
interface Member {
  readonly socket: WebSocket;
  readonly channel: string;
}

/** What the relay is about to do with a message. */
interface Publication {
  readonly data: Data;
  readonly from: Member;
  /** The other members of the channel. */
  readonly others: readonly Member[];
  /** The members of other channels. */
  readonly strangers: readonly Member[];
}

/** What becomes of it: messages and closes, in order. */
type Outcome = {
  readonly to: Member;
  readonly data?: Data;
  readonly close?: readonly [code: number, reason: string];
}[];

/** How a relay is broken. */
interface Flaw {
  /** Decides who gets what. Default: all others get the message. */
  readonly publish?: (publication: Publication) => Outcome;
  /** The channel that a path stands for. */
  readonly channelOf?: (path: string) => string;
  /** For how long after its 101 a client isn't a member yet, in milliseconds. */
  readonly joinDelayMs?: number;
  /** Whether a handshake is refused. */
  readonly refuses?: () => boolean;
}

/** Whatever has to go wrong does so once in that many times. */
const rarely = 20;

/** How long its end may take, in milliseconds. */
const shutdownMs = 2000;

/** What a relay may do wrong: by name, what a checker has to find, and how it is done. Some keep state, so each is made anew. */
export const flaws = {
  "does nothing wrong": [undefined, () => ({})],
  "echoes a message": ["echo", () => sometimes(echo)],
  "loses a message for one of them": [
    "missing",
    () => sometimes(({ others, data }) => toSome(others.slice(1), data)),
  ],
  "loses an empty message": ["missing", () => sometimes(() => [], isEmpty)],
  "delivers a message twice": ["twice", () => sometimes(twice)],
  "swaps two messages of one publisher": ["order", swap],
  "turns text into binary": ["kind", () => sometimes(turnIntoBinary)],
  "cuts off the last byte": ["bytes", () => sometimes(cut, isNamed)],
  "makes a message up": ["invented", () => sometimes(invent)],
  "passes a message on to another channel": ["foreign", () => sometimes(leak)],
  "splits a channel": ["missing", split],
  "joins late": ["missing", () => ({ joinDelayMs: 100 })],
  "delivers no more to one of them": ["missing", forget],
  "closes with a code that nothing excuses": ["close", close],
  "leaves a gap, and closes late": ["missing", closeLate],
  "refuses a client": ["refused", () => ({ refuses: everySoOften() })],
} satisfies Record<
  string,
  readonly [finds: ViolationKind | undefined, make: () => Flaw]
>;

/** The name of a way to be broken. */
export type FlawName = keyof typeof flaws;

/** A running relay. Its disposal ends it. */
export class BrokenServer implements AsyncDisposable {
  /** The path of its unix socket. */
  readonly socket: string;
  readonly #folder: TempFolder;
  readonly #flaw: Flaw;
  readonly #members = new Set<Member>();
  /** What waits for those whose socket isn't open yet. */
  readonly #early = new WeakMap<Member, Outcome>();
  readonly #server: Deno.HttpServer;

  private constructor(folder: TempFolder, flaw: Flaw) {
    this.#folder = folder;
    this.#flaw = flaw;
    this.socket = `${folder.path}/s`;
    this.#server = Deno.serve(
      { path: this.socket, onListen: () => {} },
      (request) => this.#join(request),
    );
  }

  /** Starts a relay that is broken in this way. */
  static async start(flaw: FlawName): Promise<BrokenServer> {
    const [, make] = flaws[flaw];
    return new BrokenServer(await TempFolder.make(), make());
  }

  #join(request: Request): Response {
    const { channelOf, joinDelayMs, refuses } = this.#flaw;
    if (refuses?.()) return new Response("no\n", { status: 503 });
    const path = new URL(request.url).pathname;
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.binaryType = "arraybuffer";
    const member: Member = { socket, channel: channelOf?.(path) ?? path };
    const early: Outcome = [];
    this.#early.set(member, early);
    const enter = (): unknown => this.#members.add(member);
    if (joinDelayMs === undefined) enter();
    else setTimeout(enter, joinDelayMs);
    socket.onopen = () => {
      this.#early.delete(member);
      this.#carryOut(early);
    };
    socket.onmessage = ({ data }) => this.#publish(member, data);
    socket.onclose = () => this.#members.delete(member);
    socket.onerror = () => this.#members.delete(member);
    return response;
  }

  #publish(from: Member, data: Data): void {
    const all = [...this.#members].filter((member) => member !== from);
    const publication: Publication = {
      data,
      from,
      others: all.filter(({ channel }) => channel === from.channel),
      strangers: all.filter(({ channel }) => channel !== from.channel),
    };
    if (publication.others.length === 0) return;
    this.#carryOut((this.#flaw.publish ?? toAll)(publication));
  }

  #carryOut(outcome: Outcome): void {
    for (const one of outcome) {
      const { socket } = one.to;
      const early = this.#early.get(one.to);
      if (early !== undefined) early.push(one);
      else if (socket.readyState !== WebSocket.OPEN) continue;
      else if (one.close !== undefined) {
        this.#members.delete(one.to);
        socket.close(...one.close);
      } else socket.send(one.data!);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.#members) socket.close(1001);
    // The runtime waits for ever for a client that hung up before its 101.
    await within(this.#server.shutdown(), shutdownMs);
    await this.#folder[Symbol.asyncDispose]();
  }
}

/** Gets a function that is true once in a while. */
function everySoOften(): () => boolean {
  let calls = 0;
  return () => ++calls % rarely === 0;
}

/** Gets a flaw that shows once in a while, in messages for which `when` holds. */
function sometimes(
  wrong: (publication: Publication) => Outcome,
  when: (publication: Publication) => boolean = () => true,
): Flaw {
  const isTurn = everySoOften();
  return {
    publish: (publication) =>
      when(publication) && isTurn() ? wrong(publication) : toAll(publication),
  };
}

function echo(publication: Publication): Outcome {
  const { from, data } = publication;
  return [...toSome([from], data), ...toAll(publication)];
}

function twice(publication: Publication): Outcome {
  return [...toAll(publication), ...toAll(publication)];
}

function turnIntoBinary({ others, data }: Publication): Outcome {
  return toSome(others, bytesOf(data).buffer);
}

function cut({ others, data }: Publication): Outcome {
  return toSome(others, data.slice(0, -1));
}

function invent(publication: Publication): Outcome {
  return [...toAll(publication), ...toSome(publication.others, "~zzzz:1:")];
}

function leak(publication: Publication): Outcome {
  const { strangers, data } = publication;
  return [...toAll(publication), ...toSome(strangers.slice(0, 1), data)];
}

/** Gets a flaw by which every third client is in a channel of its own. */
function split(): Flaw {
  let joins = 0;
  return { channelOf: (path) => ++joins % 3 === 0 ? `${path} too` : path };
}

function swap(): Flaw {
  const held = new Map<Member, Publication>();
  const isTurn = everySoOften();
  return {
    publish: (publication) => {
      const earlier = held.get(publication.from);
      if (earlier === undefined && isTurn()) {
        held.set(publication.from, publication);
        return [];
      }
      held.delete(publication.from);
      return [...toAll(publication), ...earlier ? toAll(earlier) : []];
    },
  };
}

function forget(): Flaw {
  const forgotten = new WeakSet<Member>();
  const isTurn = everySoOften();
  return {
    publish: (publication) => {
      if (isTurn()) forgotten.add(publication.others[0]!);
      return toAll(publication).filter(({ to }) => !forgotten.has(to));
    },
  };
}

/** Gets a flaw by which somebody misses a message, and is told five messages later. */
function closeLate(): Flaw {
  const gaps = new WeakMap<Member, number>();
  const isTurn = everySoOften();
  return {
    publish: (publication) =>
      toAll(publication).flatMap((delivery) => {
        const { to } = delivery;
        const since = gaps.get(to);
        if (since !== undefined) gaps.set(to, since + 1);
        else if (isTurn()) {
          gaps.set(to, 0);
          return [];
        }
        const close = [4001, "messages may have been lost"] as const;
        return since === 5 ? [delivery, { to, close }] : [delivery];
      }),
  };
}

/** Gets a flaw that closes a connection after a message now and then. */
function close(): Flaw {
  const close = [1001, "service restart, retry=10"] as const;
  return sometimes((publication) => [
    ...toAll(publication),
    { to: publication.others[0]!, close },
  ]);
}

function toAll({ others, data }: Publication): Outcome {
  return toSome(others, data);
}

function toSome(members: readonly Member[], data: Data): Outcome {
  return members.map((to) => ({ to, data }));
}

/** Whether it is long enough to have a name, and more. */
function isNamed({ data }: Publication): boolean {
  return bytesOf(data).length > 24;
}

function isEmpty({ data }: Publication): boolean {
  return bytesOf(data).length === 0;
}

function bytesOf(data: Data): Uint8Array<ArrayBuffer> {
  return typeof data === "string"
    ? new TextEncoder().encode(data)
    : new Uint8Array(data.slice(0));
}
