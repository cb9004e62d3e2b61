/**
 * What clients do that shouldn't: each visit is one connection of somebody who
 * breaks off, stalls, or sends what WebSocket doesn't allow. None of them sends
 * a whole message, so that others may be in the same channel and check theirs.
 */
import { pause } from "../helpers/eventually.ts";
import {
  closePayload,
  frameBytes,
  handshakeBytes,
  opcodes,
  RawClient,
  type Target,
} from "../helpers/raw_client.ts";
import type { Random } from "../helpers/random.ts";

/** Where a visitor goes, and what it decides by. */
export interface Visit {
  readonly target: Target;
  readonly path: string;
  readonly random: Random;
}

/** What one kind of visitor does. It leaves when the function ends. */
type Visitor = (visit: Visit) => Promise<void>;

/** Every kind of visitor, by what it does. */
export const visitors: Readonly<Record<string, Visitor>> = {
  "hangs up before the 101": async ({ target, path }) => {
    using client = await RawClient.connect(target);
    await client.write(handshakeBytes({ path }));
  },
  "hangs up in the middle of its request": async (
    { target, path, random },
  ) => {
    using client = await RawClient.connect(target);
    const request = handshakeBytes({ path });
    await client.write(
      request.subarray(0, random.integer(1, request.length - 1)),
    );
  },
  "breaks off right after the 101": async ({ target, path }) => {
    using _client = await RawClient.join(target, path);
  },
  "stalls, and breaks off with messages unread": async (
    { target, path, random },
  ) => {
    using _client = await RawClient.join(target, path);
    await pause(random.between(0, 2000));
  },
  "reads slowly": async ({ target, path, random }) => {
    using client = await RawClient.join(target, path);
    for (let i = 0; i < 20; i++) {
      // No message may ever come to a channel of its own.
      const patience = pause(100).then(() => undefined);
      await Promise.race([client.readFrame().catch(() => {}), patience]);
      await pause(random.between(0, 40));
    }
  },
  "breaks off inside of a frame": async ({ target, path, random }) => {
    using client = await RawClient.join(target, path);
    const frame = frameBytes(opcodes.text, "half of a message");
    await client.write(frame.subarray(0, random.integer(1, frame.length - 1)));
  },
  "breaks off inside of a fragmented message": async ({ target, path }) => {
    using client = await RawClient.join(target, path);
    await client.send(opcodes.binary, "the first part", { fin: false });
    await client.send(opcodes.continuation, "another", { fin: false });
  },
  "sets reserved bits": async ({ target, path, random }) => {
    using client = await RawClient.join(target, path);
    await client.send(opcodes.text, "x", { rsv: random.integer(1, 7) });
    await toTheEnd(client);
  },
  "sends an opcode that nobody knows": async ({ target, path, random }) => {
    using client = await RawClient.join(target, path);
    await client.send(random.pick([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]), "x");
    await toTheEnd(client);
  },
  "sends a ping in two frames": async ({ target, path }) => {
    using client = await RawClient.join(target, path);
    await client.send(opcodes.ping, "x", { fin: false });
    await toTheEnd(client);
  },
  "continues what never began": async ({ target, path }) => {
    using client = await RawClient.join(target, path);
    await client.send(opcodes.continuation, "x");
    await toTheEnd(client);
  },
  "sends text that is none": async ({ target, path }) => {
    using client = await RawClient.join(target, path);
    await client.send(opcodes.text, Uint8Array.of(0xff, 0xfe, 0xc0));
    await toTheEnd(client);
  },
  "announces more than there can be": async ({ target, path, random }) => {
    using client = await RawClient.join(target, path);
    await client.send(opcodes.binary, "x", {
      lengthBytes: 8,
      declaredLength: random.pick([2n ** 63n, 2n ** 40n, 2n ** 64n - 1n]),
    });
    await toTheEnd(client);
  },
  "sends garbage": async ({ target, path, random }) => {
    using client = await RawClient.join(target, path);
    const garbage = random.bytes(200);
    // Neither a whole message nor a close: reserved bits are set.
    garbage[0] = 0x73;
    await client.write(garbage);
    await toTheEnd(client);
  },
  "sends garbage for a handshake": async ({ target, random }) => {
    using client = await RawClient.connect(target);
    await client.write(random.bytes(200));
    await client.closeWrite();
    await toTheEnd(client);
  },
  "sends half of a handshake, and waits": async ({ target, path, random }) => {
    using client = await RawClient.connect(target);
    await client.write(handshakeBytes({ path }).subarray(0, 40));
    await pause(random.between(0, 1000));
  },
  "sends too much": async ({ target, path }) => {
    using client = await RawClient.join(target, path);
    await client.write(
      frameBytes(opcodes.binary, new Uint8Array(1024 * 1024 + 1)),
    );
    await toTheEnd(client);
  },
  "closes with a code that isn't allowed": async ({ target, path, random }) => {
    using client = await RawClient.join(target, path);
    const code = random.pick([0, 999, 1004, 1005, 1006, 1015, 2999, 65535]);
    await client.write(frameBytes(opcodes.close, closePayload(code)));
    await toTheEnd(client);
  },
  "closes with half of a code": async ({ target, path }) => {
    using client = await RawClient.join(target, path);
    await client.write(frameBytes(opcodes.close, Uint8Array.of(3)));
    await toTheEnd(client);
  },
  "goes on after its close": async ({ target, path }) => {
    using client = await RawClient.join(target, path);
    await client.write(frameBytes(opcodes.close, closePayload(1000)));
    await client.write(frameBytes(opcodes.text, "more"));
    await toTheEnd(client);
  },
};

/** Makes one visit; what the other side breaks off is no error, nothing else happens to it. */
export async function pay(name: string, visit: Visit): Promise<void> {
  try {
    await visitors[name]!(visit);
  } catch (error) {
    const { name, message } = error as Error;
    const brokenOff = /reset|broken|pipe|refused|not connected|Expected a/i;
    if (!brokenOff.test(`${name}: ${message}`)) throw error;
  }
}

/** Reads until the close frame, or the end. */
async function toTheEnd(client: RawClient): Promise<void> {
  let opcode;
  do opcode = (await client.readFrame())?.opcode; while (
    opcode !== undefined && opcode !== opcodes.close
  );
}
