/**
 * A small relay that does what staps does, or breaks one promise deliberately:
 * a checker that finds nothing wrong with it is itself wrong.
 */
import { TempFolder } from "../helpers/folder.ts";

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

/** What a relay may do wrong, by name; each entry makes one of its own, for some keep state. */
export const flaws = {
  "does nothing wrong": (): Flaw => ({}),
  "echoes a message": () =>
    sometimes(({ from, data }) => [{ to: from, data }, "all"]),
  "echoes an empty message": () =>
    sometimes(({ from, data }) => [{ to: from, data }, "all"], isEmpty),
  "loses a message": () => sometimes(() => []),
  "loses an empty message": () => sometimes(() => [], isEmpty),
  "loses a message for one of them": () =>
    sometimes(({ others, data }) =>
      others.slice(1).map((to) => ({ to, data }))
    ),
  "delivers a message twice": () => sometimes(() => ["all", "all"]),
  "delivers an empty message twice": () =>
    sometimes(() => ["all", "all"], isEmpty),
  "swaps two messages of one publisher": () => {
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
        return [
          ...toAll(publication),
          ...earlier === undefined ? [] : toAll(earlier),
        ];
      },
    };
  },
  "turns text into binary": () =>
    sometimes(
      ({ others, data }) =>
        others.map((to) => ({ to, data: bytesOf(data).buffer })),
      ({ data }) => typeof data === "string",
    ),
  "turns an empty text into binary": () =>
    sometimes(
      ({ others }) => others.map((to) => ({ to, data: new ArrayBuffer(0) })),
      (publication) => publication.data === "",
    ),
  "cuts off the last byte": () =>
    sometimes(
      ({ others, data }) =>
        others.map((to) => ({ to, data: data.slice(0, -1) })),
      ({ data }) => bytesOf(data).length > 12,
    ),
  "changes a byte": () =>
    sometimes(
      ({ others, data }) => {
        const bytes = bytesOf(data);
        bytes[bytes.length - 1]! ^= 1;
        return others.map((to) => ({ to, data: bytes.buffer }));
      },
      ({ data }) => typeof data !== "string" && data.byteLength > 12,
    ),
  "makes a message up": () =>
    sometimes(({ others }) => [
      "all",
      ...others.map((to) => ({ to, data: "~zzzz:1:" })),
    ]),
  "passes a message on to another channel": () =>
    sometimes(({ strangers, data }) => [
      "all",
      ...strangers.slice(0, 1).map((to) => ({ to, data })),
    ]),
  "splits a channel": () => {
    let joins = 0;
    return { channelOf: (path) => ++joins % 3 === 0 ? `${path} too` : path };
  },
  "joins late": (): Flaw => ({ joinDelayMs: 100 }),
  "delivers no more to one of them": () => {
    const forgotten = new WeakSet<Member>();
    const isTurn = everySoOften();
    return {
      publish: (publication) => {
        if (isTurn()) forgotten.add(publication.others[0]!);
        return toAll(publication).filter(({ to }) => !forgotten.has(to));
      },
    };
  },
  "closes with a code that isn't documented": () =>
    closes([4999, "just because"]),
  "closes with a reason that isn't documented": () =>
    closes([4001, "just because"]),
  "closes with a code that nothing excuses": () =>
    closes([1001, "service restart, retry=10"]),
  "leaves a gap, and closes late": () => {
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
  },
  "refuses a client": (): Flaw => {
    return { refuses: everySoOften() };
  },
} satisfies Record<string, () => Flaw>;

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
    return new BrokenServer(await TempFolder.make(), flaws[flaw]());
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
    await this.#server.shutdown();
    await this.#folder[Symbol.asyncDispose]();
  }
}

/** Gets a function that is true once in a while. */
function everySoOften(): () => boolean {
  let calls = 0;
  return () => ++calls % rarely === 0;
}

/** Gets a flaw that shows once in a while, in messages for which `when` holds; `"all"` stands for what is right. */
function sometimes(
  wrong: (publication: Publication) => (Outcome[number] | "all")[],
  when: (publication: Publication) => boolean = () => true,
): Flaw {
  const isTurn = everySoOften();
  return {
    publish: (publication) => {
      if (!when(publication) || !isTurn()) return toAll(publication);
      return wrong(publication).flatMap((one) =>
        one === "all" ? toAll(publication) : [one]
      );
    },
  };
}

/** Gets a flaw that closes a connection after a message now and then. */
function closes(close: readonly [code: number, reason: string]): Flaw {
  return sometimes(({ others }) => ["all", { to: others[0]!, close }]);
}

function toAll({ others, data }: Publication): Outcome {
  return others.map((to) => ({ to, data }));
}

function isEmpty({ data }: Publication): boolean {
  return bytesOf(data).length === 0;
}

function bytesOf(data: Data): Uint8Array<ArrayBuffer> {
  return typeof data === "string"
    ? new TextEncoder().encode(data)
    : new Uint8Array(data.slice(0));
}
