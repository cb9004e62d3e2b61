/** A small relay that breaks one promise deliberately: a checker that finds nothing wrong with it is itself wrong. */
import { within } from "../../src/common/timing.ts";
import { TempFolder } from "../../tools/folder.ts";
import type { ViolationKind } from "./checker.ts";

type Data = string | ArrayBuffer;

interface Member {
  readonly socket: WebSocket;
  readonly channel: string;
}

/** A message, who published it, and the members of its channel and of other ones. */
interface Publication {
  readonly data: Data;
  readonly from: Member;
  readonly others: readonly Member[];
  readonly strangers: readonly Member[];
}

type Deliveries = (readonly [to: Member, data: Data])[];

/** How a relay is broken, and what a checker has to find then. */
interface Flaw {
  readonly finds: ViolationKind;
  /** Decides who gets what of every twentieth message. */
  readonly publish?: (publication: Publication) => Deliveries;
  /** For which messages it does so. Default: all. */
  readonly when?: (data: Data) => boolean;
  /** Whether every third client is in a channel of its own. */
  readonly splits?: boolean;
  /** How long after its 101 a client becomes a member, in milliseconds. */
  readonly joinDelayMs?: number;
  /** Whether every twentieth handshake is refused. */
  readonly refuses?: boolean;
}

const toAll = ({ others, data }: Publication): Deliveries =>
  others.map((to) => [to, data]);

const bytesOf = (data: Data): Uint8Array<ArrayBuffer> =>
  typeof data === "string"
    ? new TextEncoder().encode(data)
    : new Uint8Array(data.slice(0));

/** What a relay may do wrong. */
export const flaws = {
  "echoes a message": {
    finds: "echo",
    publish: (all) => [...toAll(all), [all.from, all.data]],
  },
  "loses a message for one of them": {
    finds: "missing",
    publish: (all) => toAll(all).slice(1),
  },
  "loses an empty message": {
    finds: "missing",
    publish: () => [],
    when: (data) => bytesOf(data).length === 0,
  },
  "delivers a message twice": {
    finds: "twice",
    publish: (all) => [...toAll(all), ...toAll(all)],
  },
  "turns text into binary": {
    finds: "kind",
    publish: ({ others, data }) =>
      others.map((to) => [to, bytesOf(data).buffer]),
  },
  "cuts off the last byte": {
    finds: "bytes",
    publish: ({ others, data }) => others.map((to) => [to, data.slice(0, -1)]),
  },
  "makes a message up": {
    finds: "invented",
    publish: (all) => [...toAll(all), [all.others[0]!, "~zzzz:1:"]],
  },
  "passes a message on to another channel": {
    finds: "foreign",
    publish: (all) => [
      ...toAll(all),
      ...all.strangers.slice(0, 1).map((to) => [to, all.data] as const),
    ],
  },
  "closes with a code that nothing excuses": {
    finds: "close",
    publish: (all) => {
      all.others[0]!.socket.close(1001, "service restart, retry=10");
      return toAll(all);
    },
  },
  "splits a channel": { finds: "missing", splits: true },
  "joins late": { finds: "missing", joinDelayMs: 100 },
  "refuses a client": { finds: "refused", refuses: true },
} satisfies Record<string, Flaw>;

/** The name of a way to be broken. */
export type FlawName = keyof typeof flaws;

/** Whatever has to go wrong does so once in that many times. */
const rarely = 20;
/** How long its end may take, in milliseconds. */
const shutdownMs = 2000;

/** A running relay, and the path of its unix socket. */
export interface BrokenServer extends AsyncDisposable {
  readonly socket: string;
}

/** Starts a relay that is broken in this way. */
export async function startBroken(name: FlawName): Promise<BrokenServer> {
  const flaw: Flaw = flaws[name];
  const folder = await TempFolder.make();
  const path = `${folder.path}/s`;
  const members = new Set<Member>();
  let joins = 0;
  let turns = 0;
  const publish = (from: Member, data: Data): void => {
    const all = [...members].filter(({ socket }) =>
      socket !== from.socket && socket.readyState === WebSocket.OPEN
    );
    const publication = {
      ...{ data, from },
      others: all.filter(({ channel }) => channel === from.channel),
      strangers: all.filter(({ channel }) => channel !== from.channel),
    };
    if (publication.others.length === 0) return;
    const isTurn = (flaw.when?.(data) ?? true) && ++turns % rarely === 0;
    const deliveries = isTurn && flaw.publish
      ? flaw.publish(publication)
      : toAll(publication);
    for (const [{ socket }, data] of deliveries) {
      if (socket.readyState === WebSocket.OPEN) socket.send(data);
    }
  };
  const server = Deno.serve({ path, onListen: () => {} }, (request) => {
    const isThird = ++joins % 3 === 0;
    if (flaw.refuses && joins % rarely === 0) {
      return new Response("no\n", { status: 503 });
    }
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.binaryType = "arraybuffer";
    const own = flaw.splits && isThird ? " too" : "";
    const member = { socket, channel: new URL(request.url).pathname + own };
    socket.onopen = () =>
      setTimeout(() => members.add(member), flaw.joinDelayMs ?? 0);
    socket.onmessage = ({ data }) => publish(member, data);
    socket.onclose = socket.onerror = () => members.delete(member);
    return response;
  });
  return {
    socket: path,
    async [Symbol.asyncDispose]() {
      for (const { socket } of members) socket.close(1001);
      // The runtime waits for ever for a client that hung up before its 101.
      await within(server.shutdown(), shutdownMs);
      await folder[Symbol.asyncDispose]();
    },
  };
}
