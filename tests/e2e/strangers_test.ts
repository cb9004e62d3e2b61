/** What strangers can make a node hold: memory, descriptors and time, measured. Runs alone. */
import assert from "node:assert/strict";
import { ask } from "../helpers/admin.ts";
import { type Door, testDoors } from "../helpers/doors.ts";
import { eventually, pause } from "../../tools/eventually.ts";
import type { StapsOptions } from "../../tools/process.ts";
import {
  concat,
  frameBytes,
  handshakeBytes,
  type HandshakeOptions,
  opcodes,
  RawClient,
  readClose,
  type Target,
} from "../../tools/raw_client.ts";
import {
  assertTakesLess,
  openDescriptors,
  residentBytes,
} from "../helpers/resident.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { Clients, converse } from "../../tools/ws_client.ts";

const MiB = 1024 * 1024;
/** The default of `message_bytes`. */
const messageBytes = MiB;
const { text, binary, continuation, ping, pong, close } = opcodes;

/** How many connect at the same time: a unix socket has room for about a thousand that wait. */
const atOnce = 100;

/** Gets `count` of what `make` makes. */
async function many<T>(
  count: number,
  make: () => Promise<T>,
  most = atOnce,
): Promise<T[]> {
  const all: T[] = [];
  while (all.length < count) {
    const next = Math.min(most, count - all.length);
    all.push(...await Promise.all(Array.from({ length: next }, make)));
  }
  return all;
}

/** Reads up to the close frame, and gets what it says. */
async function readToClose(
  client: RawClient,
): Promise<ReturnType<typeof readClose>> {
  while (true) {
    const frame = await client.readFrame();
    assert.ok(frame, "Expected a close frame, got the end");
    if (frame.opcode === close) return readClose(frame.payload);
  }
}

/** What a test gets: the node, and who is there before any stranger. */
interface Place extends Door {
  /** Makes well-behaved clients. */
  readonly clients: Clients;
  /** Lets two who are there all along talk with each other. */
  talk(): Promise<void>;
}

/** Registers a test of both ways to the node, before and after which two clients talk. */
function test(
  name: string,
  options: StapsOptions,
  run: (place: Place) => Promise<void>,
): void {
  testDoors(name, async (door) => {
    await using clients = new Clients(door.server);
    const [a, b] = await clients.joinMany(newPath(), 2);
    const talk = (): Promise<void> => converse(a!, b!);
    await talk();
    await run({ ...door, clients, talk });
    await talk();
  }, options);
}

/**
 * The limit of frames and chains that are too long. Up to its last allowed byte a chain is a message like
 * others, and takes memory by right: 20 of them 20 MiB with the default limit.
 * With this one they take 3 of the 8 to 12 MiB that were measured, and what is
 * kept beyond a limit can't hide.
 */
const chainBytes = 128 * 1024;

/** Checks that a client is closed for its message, and that whatever it writes then is nobody's trouble. */
async function assertCutOff(client: RawClient): Promise<void> {
  assert.deepEqual(await readToClose(client), {
    code: 1009,
    reason: `message over ${chainBytes} bytes`,
  });
  const part = new Uint8Array(64 * 1024);
  try {
    for (let i = 0; i < 64; i++) await client.write(part);
  } catch {
    // Ended meanwhile.
  }
}

test(
  "20 frames of 63 MiB are cut off at their headers, and 20 endless chains of fragments at their first byte over the limit, all at once",
  { config: `[limits]\nmessage_bytes = ${chainBytes}\n` },
  async ({ staps, target, talk }) => {
    using stack = new DisposableStack();
    const join = async (): Promise<RawClient> =>
      stack.use(await RawClient.join(target, newPath()));
    const opcodeOf = (i: number): number => i % 2 === 0 ? text : binary;
    const frames = await many(20, join);
    const chains = await many(20, join);
    const part = new Uint8Array(chainBytes / 8).fill(0x61);

    await assertTakesLess({ pid: staps.pid, mostMib: 16 }, async () => {
      await Promise.all(chains.map(async (client, i) => {
        await client.send(opcodeOf(i), part, { fin: false });
        for (let sent = part.length; sent < chainBytes; sent += part.length) {
          await client.send(continuation, part, { fin: false });
        }
        await client.send(ping);
        assert.equal((await client.readFrame())?.opcode, pong);
      }));
      // Now each of them holds all that it may.
      await Promise.all([
        ...frames.map(async (client, i) => {
          const declaredLength = 63n * BigInt(MiB);
          await client.send(opcodeOf(i), "", { declaredLength });
          await assertCutOff(client);
        }),
        ...chains.map(async (client) => {
          await client.send(continuation, "a", { fin: false });
          await assertCutOff(client);
        }),
        talk(),
      ]);
    });
  },
);

/** Where nobody has much time. */
const impatient =
  `[limits]\nidle_timeout_s = 2\nclose_timeout_s = 1\nhandshake_timeout_s = 2\n`;

type Begin = (target: Target) => Promise<RawClient>;

/** Connects, and sends the part of a request that `cut` leaves. */
function requesting(
  options: HandshakeOptions = {},
  cut?: number,
): Begin {
  return async (target) => {
    const client = await RawClient.connect(target);
    const bytes = handshakeBytes({ path: newPath(), ...options });
    await client.write(bytes.subarray(0, cut));
    return client;
  };
}

/** Joins, and sends a frame. */
function joining(...frame: Parameters<RawClient["send"]>): Begin {
  return async (target) => {
    const client = await RawClient.join(target, newPath());
    // nginx resets the connection if a close is answered in time.
    await client.send(...frame).catch(() => {});
    return client;
  };
}

/** Does so, and is gone. */
function leaving(begin: Begin): Begin {
  return async (target) => {
    const client = await begin(target);
    client.close();
    return client;
  };
}

const join: Begin = (target) => RawClient.join(target, newPath());
const body = { "Content-Length": "100", "Upgrade": undefined };

/** Everything that somebody can begin and not go on with, or break off, and how many do: most, what is worth most to them. */
const halves: Readonly<Record<string, [count: number, begin: Begin]>> = {
  "answers no ping": [3000, join],
  "sends half a request": [1000, requesting({}, 60)],
  "sends nothing": [200, (target) => RawClient.connect(target)],
  "sends a request without its body": [
    200,
    requesting({ method: "POST", headers: body }),
  ],
  "never reads its 101": [200, requesting()],
  "never answers a close": [1000, joining(text, "x", { rsv: 1 })],
  "goes on sending after a close": [
    200,
    joining(binary, new Uint8Array(MiB), { declaredLength: 63n << 20n }),
  ],
  "hangs up before its 101": [200, leaving(requesting())],
  "joins, says something, and is gone": [200, leaving(joining(text, "bye"))],
  "breaks off in a frame": [
    200,
    joining(binary, "x", { declaredLength: 1000n }),
  ],
};

test(
  "strangers who begin something and stay, or go, give all descriptors and places back in time",
  { config: `[admin]\nsocket = ~/admin\n${impatient}` },
  async ({ staps, target, talk }) => {
    using stack = new DisposableStack();
    const before = await openDescriptors(staps.pid);
    let vanished: RawClient | undefined;
    for (const [count, begin] of Object.values(halves)) {
      const strangers = await many(
        count,
        async () => stack.use(await begin(target)),
      );
      vanished ??= strangers[0]!;
      await talk();
    }
    assert.equal((await readToClose(vanished!)).code, 1001);
    await eventually(
      async () => await openDescriptors(staps.pid) <= before + 2,
      async () =>
        `${before} descriptors, got ${await openDescriptors(staps.pid)}`,
    );
    const { text } = await ask(`${staps.folder}/admin`, "/status");
    const { clients: count, channels } = JSON.parse(text);
    assert.deepEqual([count, channels], [2, 1]);
  },
);

test("a frame that trickles is life", {
  config: impatient,
}, async ({ target }) => {
  using client = await RawClient.join(target, newPath());
  await client.send(binary, "", { declaredLength: 20n });
  // Longer than the time without any.
  for (let i = 0; i < 20; i++) {
    await client.write(Uint8Array.of(0));
    await pause(150);
  }
  await client.send(ping, "there");
  while ((await client.readFrame())?.opcode !== pong);
});

test(
  "a reader that reads nothing of what is less than brake_bytes ends like a dead one",
  { config: impatient },
  async ({ staps, target, clients }) => {
    const path = newPath();
    using _reader = await RawClient.join(target, path);
    const publisher = await clients.join(path);
    // Through nginx it takes more until nothing moves any more.
    const message = new Uint8Array(16 * 1024);
    const before = await openDescriptors(staps.pid);
    for (let i = 0; i < 16; i++) publisher.send(message);
    await staps.printed(/client ended client=\d+ why=idle code=1001/);
    await eventually(
      async () => await openDescriptors(staps.pid) < before,
      "its descriptor",
    );
    assert.ok(publisher.isOpen);
  },
);

test(
  "each of many holds one message while its channel is braked, and all go on afterwards, but who is stuck",
  { config: "[limits]\nslow_after_s = 2\nclose_timeout_s = 30\n" },
  async ({ staps, target, clients }) => {
    const path = newPath();
    using stuck = await RawClient.join(target, path);
    const senders = await clients.joinMany(path, 20);
    const message = new Uint8Array(messageBytes);
    await assertTakesLess({ pid: staps.pid, mostMib: 128 }, async () => {
      // Enough for those who wait to be the most of them, whatever the kernel and nginx take.
      for (const sender of senders) {
        for (let i = 0; i < 2; i++) sender.send(message);
      }
      await staps.printed(/why=slow code=4000/);
      await Promise.all(
        senders.map((sender) => sender.take(2 * (senders.length - 1))),
      );
    });
    // It is told, behind what was queued for it, and nobody else.
    assert.deepEqual(await readToClose(stuck), {
      code: 4000,
      reason: "reads too slowly",
    });
    assert.equal(staps.stderr.match(/client ended/g)?.length, 1);
  },
);

/** What costs a flooder least, and a server most. */
const smallest = [
  frameBytes(text),
  frameBytes(ping, "p".repeat(125)),
  frameBytes(ping),
  frameBytes(pong),
];

test(
  "floods of the smallest frames take little memory, and others go on talking",
  {},
  async ({ staps, target, talk }) => {
    const before = await residentBytes(staps.pid);
    for (const frame of smallest) {
      const path = newPath();
      using reader = await RawClient.join(target, path);
      // Its pongs are never read.
      using flooder = await RawClient.join(target, path);
      void reader.readAway();
      const block = concat(Array(Math.ceil(MiB / frame.length)).fill(frame));
      let isDone = false;
      const flood = (async () => {
        for (let i = 0; i < 8; i++) await flooder.write(block);
        isDone = true;
      })();
      let talks = 0;
      for (; !isDone; talks++) await talk();
      await flood;
      assert.ok(talks > 0);
    }
    await eventually(
      async () => await residentBytes(staps.pid) < before + 128 * MiB,
      "at most 128 MiB more",
    );
  },
);

test(
  "where no more files can be open newcomers get 503, and nobody inside notices",
  {
    through: ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh"],
    config: `[admin]\nsocket = ~/admin\n${impatient}`,
  },
  async ({ staps, target, talk }) => {
    const answers: Record<number, number> = {};
    {
      using stack = new DisposableStack();
      // Not more at a time than can be refused in words.
      await many(400, async () => {
        const client = stack.use(await RawClient.connect(target));
        // A refusal doesn't wait for the request.
        await client.write(handshakeBytes({ path: newPath() })).catch(() => {});
        const { status } = await client.readResponse();
        answers[status] = (answers[status] ?? 0) + 1;
      }, 10);
      await talk();
      // Some that say nothing, so that not even an answer has a descriptor.
      await many(300, async () => stack.use(await RawClient.connect(target)));
      await talk();
      const { status } = await ask(`${staps.folder}/admin`, "/healthz");
      assert.equal(status, 200);
    }
    assert.deepEqual(Object.keys(answers), ["101", "503"]);
    // As many as there are descriptors for, beside the reserve.
    assert.ok(answers[101]! > 100, JSON.stringify(answers));
    await eventually(async () => {
      using client = await RawClient.connect(target);
      try {
        await client.write(handshakeBytes({ path: newPath() }));
        return (await client.readResponse()).status === 101;
      } catch {
        return false;
      }
    }, "a newcomer to be let in");
    assert.doesNotMatch(staps.output, /bug|Cannot accept/);
  },
);
