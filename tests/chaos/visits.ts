/**
 * What clients do that shouldn't: each visit is one connection of somebody who
 * breaks off, stalls, or sends what WebSocket doesn't allow. None of them sends
 * a whole message, so that others may be in the same channel and check theirs.
 */
import { pause } from "../../tools/eventually.ts";
import {
  closePayload,
  concat,
  type Frame,
  frameBytes,
  handshakeBytes,
  opcodes,
  RawClient,
  type Target,
} from "../../tools/raw_client.ts";
import type { Random } from "../helpers/random.ts";

/** Where a visitor goes, and what it decides by. */
export interface Visit {
  readonly target: Target;
  readonly path: string;
  readonly random: Random;
}

const { text, binary, continuation, ping, close } = opcodes;
/** No length that a frame may have. */
const lengths = [2n ** 63n, 2n ** 40n, 2n ** 64n - 1n];
/** Codes that no close frame may have (RFC 6455 section 7.4). */
const codes = [0, 999, 1004, 1005, 1006, 1015, 2999, 65535];
const unknownOpcodes = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15];

/** What visitors do before they have joined, or instead. */
const before: Readonly<Record<string, (visit: Visit) => Promise<void>>> = {
  "hangs up before the 101": async ({ target, path }) => {
    using client = await RawClient.connect(target);
    await client.write(handshakeBytes({ path }));
  },
  "hangs up in the middle of its request": async (visit) => {
    using _client = await sendHalfRequest(visit);
  },
  "sends half of a handshake, and waits": async (visit) => {
    using _client = await sendHalfRequest(visit);
    await pause(visit.random.between(0, 1000));
  },
  "sends garbage for a handshake": async ({ target, random }) => {
    using client = await RawClient.connect(target);
    await client.write(random.bytes(200));
    await client.closeWrite();
    await client.readAway();
  },
};

/** What visitors do that have joined. */
const joined: Readonly<
  Record<string, (client: RawClient, random: Random) => Promise<unknown>>
> = {
  "breaks off right after the 101": async () => {},
  "stalls, and breaks off with messages unread": (_, random) =>
    pause(random.between(0, 2000)),
  "reads slowly": async (client, random) => {
    for (let i = 0; i < 20; i++) {
      // No message may ever come to a channel of its own.
      await Promise.race([client.readFrame().catch(() => {}), pause(100)]);
      await pause(random.between(0, 40));
    }
  },
  "breaks off inside of a frame": (client, random) =>
    client.write(someOf(frameBytes(text, "half of a message"), random)),
  "breaks off inside of a fragmented message": async (client) => {
    await client.send(binary, "the first part", { fin: false });
    await client.send(continuation, "another", { fin: false });
  },
};

/** What RFC 6455 doesn't allow a client to send, and ends it. */
const wrongBytes: Readonly<Record<string, (random: Random) => Uint8Array>> = {
  "sets reserved bits": (random) =>
    frameBytes(text, "x", { rsv: random.integer(1, 7) }),
  "sends an opcode that nobody knows": (random) =>
    frameBytes(random.pick(unknownOpcodes), "x"),
  "sends a ping in two frames": () => frameBytes(ping, "x", { fin: false }),
  "continues what never began": () => frameBytes(continuation, "x"),
  "sends text that is none": () =>
    frameBytes(text, Uint8Array.of(0xff, 0xfe, 0xc0)),
  "announces more than there can be": (random) =>
    frameBytes(binary, "x", {
      lengthBytes: 8,
      declaredLength: random.pick(lengths),
    }),
  // Neither a whole message nor a close: reserved bits are set.
  "sends garbage": (random) => concat([Uint8Array.of(0x73), random.bytes(199)]),
  "sends too much": () => frameBytes(binary, new Uint8Array(1024 * 1024 + 1)),
  "closes with a code that isn't allowed": (random) =>
    frameBytes(close, closePayload(random.pick(codes))),
  "closes with half of a code": () => frameBytes(close, Uint8Array.of(3)),
  "goes on after its close": () =>
    concat([frameBytes(close, closePayload(1000)), frameBytes(text, "more")]),
};

/** What all visitors do. */
export const visitors: readonly string[] = Object.keys({
  ...before,
  ...joined,
});

/** Makes one visit; what the other side breaks off is no error, nothing else happens to it. */
export async function pay(name: string, visit: Visit): Promise<void> {
  try {
    if (name in before) return await before[name]!(visit);
    using client = await RawClient.join(visit.target, visit.path);
    await joined[name]?.(client, visit.random);
    if (!(name in wrongBytes)) return;
    await client.write(wrongBytes[name]!(visit.random));
    await toTheEnd(client);
  } catch (error) {
    const { name, message } = error as Error;
    const brokenOff = /reset|broken|pipe|refused|not connected|Expected a/i;
    if (!brokenOff.test(`${name}: ${message}`)) throw error;
  }
}

/** Gets a client that has sent a part of its handshake. */
export async function sendHalfRequest(
  { target, path, random }: Visit,
): Promise<RawClient> {
  const client = await RawClient.connect(target);
  await client.write(someOf(handshakeBytes({ path }), random));
  return client;
}

/** Reads until the close frame, or the end. Gets the frame. */
export async function toTheEnd(client: RawClient): Promise<Frame | undefined> {
  while (true) {
    const frame = await client.readFrame();
    if (frame === undefined || frame.opcode === close) return frame;
  }
}

/** Gets some of the first bytes, not all of them. */
function someOf(bytes: Uint8Array, random: Random): Uint8Array {
  return bytes.subarray(0, random.integer(1, bytes.length - 1));
}
