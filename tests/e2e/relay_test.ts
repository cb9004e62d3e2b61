/** The real process under clients that come and go. */
import assert from "node:assert/strict";
import { eventually } from "../helpers/eventually.ts";
import { inFrontendGroup, startNginx } from "../helpers/nginx.ts";
import { startStaps } from "../helpers/process.ts";
import {
  handshakeBytes,
  opcodes,
  RawClient,
  type Target,
} from "../helpers/raw_client.ts";
import { newPath, shareStaps } from "../helpers/shared_staps.ts";
import { type Client, Clients, converse } from "../helpers/ws_client.ts";

const shared = shareStaps({ config: "[log]\nlevel = debug\n" });

/** Gets the number of descriptors that the process `pid` has open. */
function descriptors(pid: number): number {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
}

/** Lets `count` clients ask for an upgrade and hang up at once. */
async function hangUp(target: Target, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, async () => {
    using client = await RawClient.connect(target);
    await client.write(handshakeBytes({ path: newPath() }));
  }));
}

for (const way of ["directly", "through nginx"]) {
  Deno.test(`100 clients that hang up before the 101, ${way}, leave no descriptor and take no place`, async () => {
    await using staps = await startStaps({
      through: inFrontendGroup,
      config: "[limits]\nclients = 50\nchannels = 50\n",
    });
    await using nginx = way === "directly"
      ? undefined
      : await startNginx({ socket: staps.socket });
    const target = nginx ? { port: nginx.port } : { socket: staps.socket };
    await using clients = new Clients(staps.socket);
    const path = newPath();
    await converse(await clients.join(path), await clients.join(path));

    const before = descriptors(staps.pid);
    for (let round = 0; round < 4; round++) {
      await hangUp(target, 25);
      await eventually(
        () => descriptors(staps.pid) <= before,
        () => `${before} open descriptors, got ${descriptors(staps.pid)}`,
      );
    }
    // Whoever counted them must have forgotten them, too.
    await eventually(
      () => clients.joinMany(newPath(), 48).catch(() => undefined),
      "48 free places",
    );
  });
}

Deno.test("2,000 quick connects and disconnects leave channels whole, and nothing behind", async () => {
  const { staps, clients } = shared;
  const paths = Array.from({ length: 10 }, newPath);
  const before = descriptors(staps.pid);
  for (let round = 0; round < 20; round++) {
    await Promise.all(Array.from({ length: 100 }, async (_, i) => {
      using client = await RawClient.join(
        { socket: staps.socket },
        paths[i % paths.length]!,
      );
      // Some say goodbye, some say something first, the others are gone without a word.
      if (i % 3 === 0) await client.send(opcodes.text, "hello and goodbye");
      if (i % 5 === 0) await client.send(opcodes.close);
    }));
  }
  await eventually(
    () => descriptors(staps.pid) <= before,
    () => `${before} open descriptors, got ${descriptors(staps.pid)}`,
  );
  for (const path of paths) await assertWhole(await clients.joinMany(path, 3));
});

Deno.test("5 s of parallel joins and leaves never split a channel", async () => {
  await using clients = new Clients(shared.staps.socket);
  // Few clients to a channel: the last one leaves while the next one comes.
  const channels = Array.from(
    { length: 20 },
    () => ({ path: newPath(), members: new Set<Client>() }),
  );
  const endMs = Date.now() + 5000;
  let moments = 0;
  while (Date.now() < endMs) {
    const pauseMs = Date.now() + 250;
    await Promise.all(
      channels.flatMap(({ path, members }) =>
        Array.from({ length: 3 }, async () => {
          while (Date.now() < pauseMs) {
            const client = await clients.join(path);
            // A third of them stay for the moment.
            if (Math.random() < 1 / 3 && members.size < 4) {
              members.add(client);
              continue;
            }
            client.close();
            if (Math.random() < 0.5) await client.closed;
            const [oldest] = members;
            if (oldest && Math.random() < 0.5) {
              members.delete(oldest);
              oldest.close();
            }
          }
        })
      ),
    );
    for (const { path, members } of channels) {
      await assertWhole([
        ...members,
        await clients.join(path),
        await clients.join(path),
      ]);
    }
    moments++;
  }
  assert.ok(moments > 0, `Expected a quiet moment, got none`);
});

/** Checks that what each of `members` sends reaches all others, and closes the last two. */
async function assertWhole(members: Client[]): Promise<void> {
  for (const sender of members) {
    const text = crypto.randomUUID();
    sender.send(text);
    for (const member of members) {
      if (member !== sender) assert.equal(await member.next(), text);
    }
  }
  for (const client of members.slice(-2)) client.close();
}

Deno.test("joined means joined: from its open event on, a client misses nothing of what is published", async () => {
  await using clients = new Clients(shared.staps.socket);
  const path = newPath();
  const publisher = await clients.join(path);
  let published = 0;
  let done = false;
  const publishing = (async () => {
    while (!done) {
      publisher.send(String(++published));
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  })();
  const joiners = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, i));
      const client = await clients.join(path);
      return { client, publishedBefore: published };
    }),
  );
  done = true;
  await publishing;
  for (const { client, publishedBefore } of joiners) {
    const first = Number(await client.next());
    assert.ok(
      first <= publishedBefore + 1,
      `Expected ${publishedBefore + 1} or less, got ${first}`,
    );
    for (let expected = first + 1; expected <= published; expected++) {
      assert.equal(await client.next(), String(expected));
    }
  }
  assert.deepEqual(publisher.untaken, []);
});

Deno.test("joined means joined: what is published right after the 101 arrives", async () => {
  const target = { socket: shared.staps.socket };
  const path = newPath();
  using publisher = await RawClient.join(target, path);
  for (let i = 0; i < 300; i++) {
    using joiner = await RawClient.join(target, path);
    await publisher.send(opcodes.text, String(i));
    assert.equal(
      new TextDecoder().decode((await joiner.readFrame())?.payload),
      String(i),
    );
  }
});

Deno.test("a client that doesn't answer pings is told and gives up its place; others stay", async () => {
  await using staps = await startStaps({
    config: "[limits]\nidle_timeout_s = 3\nclients = 3\n",
  });
  await using clients = new Clients(staps.socket);
  const path = newPath();
  const [alive, other] = await clients.joinMany(path, 2);
  // Open, but nobody there: no pong comes.
  using vanished = await RawClient.join({ socket: staps.socket }, path);
  const opcodesOfFrames = [];
  do opcodesOfFrames.push((await vanished.readFrame())?.opcode); while (
    opcodesOfFrames.at(-1) === opcodes.ping
  );
  assert.ok(opcodesOfFrames.length >= 2);
  assert.equal(opcodesOfFrames.at(-1), opcodes.close);
  const third = await eventually(
    () => clients.join(path).catch(() => undefined),
    "the place to be free",
  );
  await assertWhole([alive!, other!, third]);
});

shared.testFarewell();
