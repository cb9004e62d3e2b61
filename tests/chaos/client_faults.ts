/** What clients do to nodes, as faults: too many of them, too much, too slow, and against the protocol. */
import assert from "node:assert/strict";
import { closes } from "../../src/relay/close.ts";
import { eventually, pause } from "../../tools/eventually.ts";
import {
  concat,
  type Frame,
  frameBytes,
  handshakeBytes,
  opcodes,
  RawClient,
  readClose,
  type Target,
} from "../../tools/raw_client.ts";
import type { Cluster } from "./cluster.ts";
import type { Blow } from "./faults.ts";
import { pay, visitors } from "./visits.ts";

/** How many have to be refused for want of descriptors. */
const refusedEnough = 40;
/** How long the messages are that fill buffers, in bytes. */
const fillerBytes = 64 * 1024;
/** How far a publisher is ahead of its reader at most, in messages. */
const aheadCount = 16;

/** Takes all of a node's descriptors. It has to refuse some clients, and to accept others afterwards. */
export async function exhaustDescriptors(
  _: Cluster,
  { node, random }: Blow,
): Promise<void> {
  const limitHits = async (): Promise<number> =>
    (await node.status()).limit_hits.clients ?? 0;
  const before = await limitHits();
  {
    using stack = new DisposableStack();
    let refused = 0;
    // In an outage other refusals come, so it is not the first one that counts.
    for (let round = 0; refused < refusedEnough && round < 100; round++) {
      const ask = async (): Promise<number> => {
        const client = stack.use(await RawClient.connect(node));
        await client.write(handshakeBytes({ path: `/${random.uuid()}` }));
        const { status } = await client.readResponse();
        if (status !== 101) client.close();
        return status;
      };
      const answers = await Promise.all(Array.from({ length: 20 }, ask));
      const count = answers.filter((status) => status === 503).length;
      const joined = answers.filter((status) => status === 101).length;
      assert.equal(count + joined, 20, `Expected 101 or 503, got ${answers}`);
      if (await limitHits() > before) refused += count;
      else if (count > 0) await pause(500);
    }
    assert.ok(await limitHits() > before, "Expected the limit to be reached");
  }
  await eventually(
    () => converse(node, `/${random.uuid()}`).then(() => true, () => false),
    `${node.name} to accept clients again`,
  );
}

/** Lets three clients not read what one sends to four. The fourth gets all, the others what fits and 4000. */
export async function readSlowly(
  { frontend }: Cluster,
  { node, random }: Blow,
): Promise<void> {
  const isStraight = random.chance(0.5);
  // What the kernel holds of a TCP connection comes on top of the node's 12 MiB at most.
  const count = (isStraight ? 16 : 32) * 1024 * 1024 / fillerBytes;
  const path = `/${random.uuid()}`;
  using stack = new DisposableStack();
  const [publisher, reader, ...slow] = await Promise.all(
    Array(5).fill(isStraight ? node : frontend).map(async (target) =>
      stack.use(await joined(target, path))
    ),
  );
  const filler = new Uint8Array(fillerBytes);
  const numberOf = ({ payload }: Frame): number =>
    new DataView(payload.buffer).getUint32(0);
  const send = async (number: number): Promise<void> => {
    new DataView(filler.buffer).setUint32(0, number);
    await publisher!.send(opcodes.binary, filler);
  };
  let sending = Promise.resolve();
  for (let sent = 0, got = 0; got < count; got++) {
    // Not awaited: it reads while its publisher is held.
    for (; sent < count && sent < got + aheadCount; sent++) {
      const number = sent;
      // A gap ends it together with the reader, who tells.
      sending = sending.then(() => send(number)).catch(() => {});
    }
    const frame = await nextMessage(reader!);
    if (frame?.opcode === opcodes.close) {
      // Told: the broker is away for longer than senders wait.
      return assert.deepEqual(readClose(frame.payload), closes.gap);
    }
    assert.ok(frame !== undefined, "Expected a message, got the end");
    assert.equal(numberOf(frame), got);
  }
  for (const client of slow) {
    for (let expected = 0;; expected++) {
      const frame = await nextMessage(client);
      // One that read nothing for longer than close_timeout_s misses the 4000.
      if (frame === undefined) break;
      if (frame.opcode === opcodes.close) {
        assert.deepEqual(readClose(frame.payload), closes.slow);
        break;
      }
      assert.equal(numberOf(frame), expected);
    }
  }
}

/** Lets 300 clients connect at once. They are let in, or refused in words. */
export async function floodConnections(
  { frontend }: Cluster,
  { random }: Blow,
): Promise<void> {
  const paths = Array.from({ length: 100 }, () => `/${random.uuid()}`);
  await Promise.all(Array.from({ length: 300 }, async () => {
    const path = random.pick(paths);
    const hangsUp = random.chance(0.2);
    const staysMs = random.between(0, 1500);
    using client = await RawClient.connect(frontend);
    await client.write(handshakeBytes({ path }));
    if (hangsUp) return;
    const { status } = await client.readResponse();
    // 502 and 503 are the answers of what is full, or away.
    assert.ok([101, 502, 503].includes(status), `Unexpected status ${status}`);
    await pause(staysMs);
  }));
}

/** Floods a channel with small messages. All readers get all, in order. */
export async function floodMessages(
  { frontend }: Cluster,
  { node, random }: Blow,
): Promise<void> {
  const path = `/${random.uuid()}`;
  const count = random.integer(20_000, 50_000);
  using stack = new DisposableStack();
  const [flooder, ...readers] = await Promise.all(
    [frontend, node, frontend, frontend].map(async (target) =>
      stack.use(await joined(target, path))
    ),
  );
  const frames = Array.from(
    { length: count },
    (_, i) => frameBytes(opcodes.text, `${i}`),
  );
  await Promise.all([
    // Who floods may be a slow writer only because others have to be served.
    flooder!.write(concat(frames)),
    ...readers.map(async (reader) => {
      for (let expected = 0; expected < count; expected++) {
        const frame = await nextMessage(reader);
        if (frame?.opcode === opcodes.close) {
          // Told, and so allowed: docs/protocol.md, "A brake for senders".
          return assert.deepEqual(readClose(frame.payload), closes.slow);
        }
        assert.equal(textOf(frame), `${expected}`);
      }
    }),
  ]);
}

/** Lets 200 visitors come, twenty at a time. Some have a channel to themselves, which ends with them. */
export async function misbehave(
  { frontend }: Cluster,
  { node, random, paths }: Blow,
): Promise<void> {
  await Promise.all(Array.from({ length: 20 }, async () => {
    const own = random.fork();
    for (let i = 0; i < 10; i++) {
      await pay(own.pick(visitors), {
        target: own.pick<Target>([node, frontend]),
        path: own.chance(0.8) ? own.pick(paths) : `/${own.uuid()}`,
        random: own,
      });
    }
  }));
}

/** Lets two newcomers say something to each other. */
export async function converse(target: Target, path: string): Promise<void> {
  using first = await joined(target, path);
  using second = await joined(target, path);
  await first.send(opcodes.text, "hello");
  assert.equal(textOf(await nextMessage(second)), "hello");
}

/** Gets a client that has joined, after as many tries as it takes while the broker is away. */
function joined(target: Target, path: string): Promise<RawClient> {
  return eventually(
    () => RawClient.join(target, path).catch(() => undefined),
    "a client to be let in",
    { timeoutMs: 60_000 },
  );
}

/** Reads the next message or close frame; `undefined` at the end. Pings are answered. */
async function nextMessage(client: RawClient): Promise<Frame | undefined> {
  while (true) {
    const frame = await client.readFrame();
    if (frame?.opcode === opcodes.ping) {
      // Who is closed already gets no answer.
      await client.send(opcodes.pong, frame.payload).catch(() => {});
    } else if (frame?.opcode !== opcodes.pong) return frame;
  }
}

function textOf(frame: Frame | undefined): string {
  return frame === undefined
    ? "the end"
    : new TextDecoder().decode(frame.payload);
}
