/** A small relay that breaks one promise deliberately: a checker that finds nothing wrong with it is itself wrong. */
import { within } from "../../src/common/timing.ts";
import { TempFolder } from "../../tools/folder.ts";
import type { ViolationKind } from "./checker.ts";

type Data = string | ArrayBuffer;

/** A message, who published it, and the members of its channel and of other ones. */
interface Publication {
  readonly data: Data;
  readonly from: WebSocket;
  readonly others: readonly WebSocket[];
  readonly strangers: readonly WebSocket[];
}

/** Who gets what. */
type Deliveries = (readonly [to: WebSocket, data: Data])[];

const toAll = ({ others, data }: Publication): Deliveries =>
  others.map((to) => [to, data]);

const bytesOf = (data: Data): Uint8Array<ArrayBuffer> =>
  typeof data === "string"
    ? new TextEncoder().encode(data)
    : new Uint8Array(data.slice(0));

/** What becomes of every twentieth message, and what a checker has to find then. */
export const flaws: Readonly<
  Record<string, readonly [ViolationKind, (all: Publication) => Deliveries]>
> = {
  "echoes a message": [
    "echo",
    (all) => [...toAll(all), [all.from, all.data]],
  ],
  "loses a message for one of them": [
    "missing",
    (all) => toAll(all).slice(1),
  ],
  "delivers a message twice": [
    "twice",
    (all) => [...toAll(all), ...toAll(all)],
  ],
  "turns text into binary": [
    "changed",
    ({ others, data }) => others.map((to) => [to, bytesOf(data).buffer]),
  ],
  "cuts off the last byte": [
    "changed",
    ({ others, data }) => others.map((to) => [to, data.slice(0, -1)]),
  ],
  "makes a message up": [
    "invented",
    (all) => [...toAll(all), [all.others[0]!, "~zzzz:1:"]],
  ],
  "passes a message on to another channel": [
    "foreign",
    (all) => [
      ...toAll(all),
      ...toAll({ ...all, others: all.strangers.slice(0, 1) }),
    ],
  ],
  "closes with a code that nothing excuses": [
    "close",
    (all) => {
      all.others[0]!.close(1001, "service restart, retry=10");
      return toAll(all);
    },
  ],
};

/** How long its end may take, in milliseconds. */
const shutdownMs = 2000;

/** Starts a relay that does this with one of so many messages; everybody gets the others. */
export async function startBroken(
  publish: (all: Publication) => Deliveries,
  { outOf = 20 } = {},
): Promise<AsyncDisposable & { readonly socket: string }> {
  const folder = await TempFolder.make();
  const path = `${folder.path}/s`;
  /** The channels of those who are there. */
  const members = new Map<WebSocket, string>();
  let count = 0;
  const relay = (from: WebSocket, data: Data): void => {
    const there = [...members.keys()].filter((each) =>
      each !== from && each.readyState === WebSocket.OPEN
    );
    const isOther = (each: WebSocket): boolean =>
      members.get(each) === members.get(from);
    const others = there.filter(isOther);
    const strangers = there.filter((each) => !isOther(each));
    if (others.length === 0) return;
    const decide = ++count % outOf === 0 ? publish : toAll;
    for (const [to, text] of decide({ data, from, others, strangers })) {
      if (to.readyState === WebSocket.OPEN) to.send(text);
    }
  };
  const server = Deno.serve({ path, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => members.set(socket, new URL(request.url).pathname);
    socket.onmessage = ({ data }) => relay(socket, data);
    socket.onclose = socket.onerror = () => members.delete(socket);
    return response;
  });
  return {
    socket: path,
    async [Symbol.asyncDispose]() {
      for (const socket of members.keys()) socket.close(1001);
      // The runtime waits for ever for a client that hung up before its 101.
      await within(server.shutdown(), shutdownMs);
      await folder[Symbol.asyncDispose]();
    },
  };
}
