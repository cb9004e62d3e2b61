/**
 * Clients of every kind at once: some stay and check each message, the others
 * come, go, stall, break off, and send what they shouldn't. Runs alone.
 */
import assert from "node:assert/strict";
import { eventually, pause } from "../helpers/eventually.ts";
import { pay, visitors } from "../chaos/visits.ts";
import { freePort } from "../helpers/folder.ts";
import { startStaps } from "../helpers/process.ts";
import {
  frameBytes,
  handshakeBytes,
  opcodes,
  RawClient,
  type Target,
} from "../helpers/raw_client.ts";
import { Random } from "../helpers/random.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { type Client, Clients, type Received } from "../helpers/ws_client.ts";

const durationMs = 10_000;
const channelCount = 12;
/** How many messages a peer may be ahead of the slowest one that stays. */
const window = 50;

const config = `
[limits]
message_bytes = 64K
client_buffer_bytes = 4M
idle_timeout_s = 4
[log]
level = debug
`;

/** Somebody who publishes numbered messages under a name. */
interface Publisher {
  readonly name: string;
  sent: number;
}

/** A channel's publishers, by name, and those of them who check. */
class Channel {
  readonly path = newPath();
  readonly publishers = new Map<string, Publisher>();
  readonly peers = new Set<Peer>();
  /** The next message of `publisher`, text or bytes, small or not. */
  message(publisher: Publisher): Received {
    const padding = Math.random() < 0.05 ? 20_000 : Math.random() * 200;
    const text = `${publisher.name} ${++publisher.sent} `.padEnd(padding, "é");
    return Math.random() < 0.5 ? text : new TextEncoder().encode(text);
  }

  addPublisher(): Publisher {
    const publisher = { name: crypto.randomUUID(), sent: 0 };
    this.publishers.set(publisher.name, publisher);
    return publisher;
  }
}

/** A client that reads everything, and checks it against what was published. */
class Peer {
  readonly channel: Channel;
  readonly client: Client;
  readonly publisher: Publisher;
  readonly problems: string[] = [];
  /** The number of the last message of each publisher. */
  readonly #last = new Map<string, number>();
  readonly done: Promise<void>;
  #leaving = false;

  constructor(channel: Channel, client: Client, publisher: Publisher) {
    this.channel = channel;
    this.client = client;
    this.publisher = publisher;
    // What was sent by now may have come before this one was there.
    this.#floor = new Map(
      [...channel.publishers.values()].map(({ name, sent }) => [name, sent]),
    );
    channel.peers.add(this);
    this.done = this.#read();
  }

  readonly #floor: Map<string, number>;

  static async join(channel: Channel, clients: Clients): Promise<Peer> {
    const client = await clients.join(channel.path);
    return new Peer(channel, client, channel.addPublisher());
  }

  /** How far it is ahead of the slowest other one. */
  get ahead(): number {
    const { name, sent } = this.publisher;
    let lag = 0;
    for (const peer of this.channel.peers) {
      if (peer !== this) lag = Math.max(lag, sent - peer.seen(name));
    }
    return lag;
  }

  /** The number of the last message of `name` that came, or didn't have to come. */
  seen(name: string): number {
    return this.#last.get(name) ?? this.#floor.get(name) ?? 0;
  }

  publish(): void {
    this.client.send(this.channel.message(this.publisher));
  }

  leave(): void {
    this.#leaving = true;
    this.channel.peers.delete(this);
    this.client.close();
  }

  async #read(): Promise<void> {
    while (true) {
      let message;
      try {
        message = await this.client.next();
      } catch (error) {
        if (!this.#leaving) this.problems.push((error as Error).message);
        return;
      }
      this.#check(message);
    }
  }

  #check(message: Received): void {
    const text = typeof message === "string"
      ? message
      : new TextDecoder().decode(message);
    const [name, number] = text.split(" ", 2);
    const got = Number(number);
    if (name === this.publisher.name) this.problems.push(`echo of ${got}`);
    const last = this.#last.get(name!);
    const expected = (last ?? this.#floor.get(name!) ?? 0) + 1;
    // The first one may have been sent before this peer was there.
    if (last === undefined ? got > expected : got !== expected) {
      this.problems.push(`${got} of ${name}, expected ${expected}`);
    }
    this.#last.set(name!, got);
  }
}

/** What somebody does that doesn't stay, and publishes. */
type Visit = (target: Target, channel: Channel) => Promise<void>;

const publishingVisits: Record<string, Visit> = {
  "breaks off with the 101 unread, having published": async (
    target,
    channel,
  ) => {
    using client = await RawClient.connect(target);
    const publisher = channel.addPublisher();
    await client.write(handshakeBytes({ path: channel.path }));
    await client.write(frame(channel.message(publisher)));
    await client.write(frame(channel.message(publisher)));
  },
  "breaks off with messages unread": async (target, channel) => {
    using client = await RawClient.join(target, channel.path);
    const publisher = channel.addPublisher();
    for (let i = 0; i < 20; i++) {
      await client.write(frame(channel.message(publisher)));
      await pause(Math.random() * 20);
    }
  },
  "closes in the middle of messages": async (target, channel) => {
    using client = await RawClient.join(target, channel.path);
    await client.write(frame(channel.message(channel.addPublisher())));
    await client.write(frameBytes(opcodes.close));
    await client.readToEnd();
  },
};

/** Those, and those who publish nothing and misbehave. */
const visits: readonly (readonly [string, Visit])[] = [
  ...Object.entries(publishingVisits),
  ...Object.keys(visitors).map((name) =>
    [
      name,
      (target: Target, { path }: Channel) =>
        pay(name, { target, path, random: new Random() }),
    ] as const
  ),
];

function frame(message: Received): Uint8Array<ArrayBuffer> {
  const opcode = typeof message === "string" ? opcodes.text : opcodes.binary;
  return frameBytes(opcode, message);
}

function any<T>(items: readonly T[]): T {
  return items[Math.floor(Math.random() * items.length)]!;
}

function descriptors(pid: number): number {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
}

Deno.test(`${durationMs / 1000} s of clients that do what they like cost those who stay nothing, and leave nothing behind`, async () => {
  // With RST, which a unix socket doesn't know.
  const port = freePort();
  await using staps = await startStaps({
    config,
    args: [`--listen=127.0.0.1:${port}`],
  });
  await using clients = new Clients(staps.socket);
  const channels = Array.from({ length: channelCount }, () => new Channel());
  const before = descriptors(staps.pid);
  const peers: Peer[] = [];
  for (const channel of channels) {
    for (let i = 0; i < 3; i++) peers.push(await Peer.join(channel, clients));
  }

  const endMs = Date.now() + durationMs;
  const failures: string[] = [];
  let visited = 0;
  let over = false;
  const publishing = peers.map(async (peer) => {
    while (!over) {
      if (peer.ahead < window) peer.publish();
      await pause(Math.random() * 40);
    }
  });
  await Promise.all([
    // Peers that come, check, publish and leave in good order.
    ...channels.map(async (channel) => {
      while (Date.now() < endMs) {
        const peer = await Peer.join(channel, clients);
        peers.push(peer);
        for (let i = 0; i < 30; i++) {
          if (peer.ahead < window) peer.publish();
          await pause(Math.random() * 20);
        }
        peer.leave();
        await peer.client.closed;
      }
    }),
    ...Array.from({ length: 40 }, async () => {
      while (Date.now() < endMs) {
        const [name, visit] = any(visits);
        const target = any([{ socket: staps.socket }, { port }]);
        // Some have a channel to themselves, which ends with them.
        const channel = Math.random() < 0.8 ? any(channels) : new Channel();
        try {
          await visit(target, channel);
          visited++;
        } catch (error) {
          // The other side may break off, too.
          if (!(error instanceof Error) || !/reset|broken/i.test(`${error}`)) {
            failures.push(`${name}: ${error}`);
          }
        }
      }
    }),
  ]);

  over = true;
  await Promise.all(publishing);

  const staying = peers.filter(({ channel, client }) =>
    client.isOpen && channel.peers.size > 0
  );
  assert.equal(staying.length, channelCount * 3);
  for (const peer of staying) {
    for (const { publisher, channel } of peers) {
      if (channel !== peer.channel || publisher === peer.publisher) continue;
      await eventually(
        () => peer.seen(publisher.name) >= publisher.sent,
        () => `${publisher.sent} messages, got ${peer.seen(publisher.name)}`,
      );
    }
  }
  assert.deepEqual(peers.flatMap(({ problems }) => problems), []);
  assert.deepEqual(failures, []);
  assert.ok(visited > 100, `Expected many visits, got ${visited}`);

  for (const peer of staying) peer.leave();
  await Promise.all(peers.map(({ client }) => client.closed));
  await eventually(
    () => descriptors(staps.pid) <= before,
    () => `${before} open descriptors, got ${descriptors(staps.pid)}`,
  );
  const { code } = await staps.stop();
  assert.equal(code, 0);
  assert.doesNotMatch(staps.output, /uncaught|unhandled|a bug|\n\s+at /i);
  for (const { path } of channels) {
    assert.ok(!staps.output.includes(path.slice(1)), "a path in the output");
  }
});
