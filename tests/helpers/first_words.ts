/**
 * Senders who say their first words while something goes wrong: nobody has ever
 * heard a number of theirs, and nothing follows that would show a gap.
 *
 * Every channel has one client on every node, all of them silent until one says
 * a single thing.
 */
import assert from "node:assert/strict";
import { eventually, pause } from "./eventually.ts";
import { type Client, Clients } from "./ws_client.ts";

/** How many channels there are, each for one sender. */
const channelCount = 12;

/** How long it takes until the next one speaks, in milliseconds: while it goes on, and when it is over. */
const pauseMs = { during: 700, after: 100 } as const;

/** How long the words may take, after messages flow again, in milliseconds. */
const heardTimeoutMs = 60_000;

/** Silent clients. Their disposal closes them. */
export class FirstWords implements AsyncDisposable {
  readonly #clients: readonly Clients[];
  /** By channel, then by node. */
  readonly #channels: readonly (readonly Client[])[];

  private constructor(
    clients: readonly Clients[],
    channels: readonly (readonly Client[])[],
  ) {
    this.#clients = clients;
    this.#channels = channels;
  }

  /** Lets clients join on each of the nodes' unix sockets. */
  static async join(sockets: readonly string[]): Promise<FirstWords> {
    const clients = sockets.map((socket) => new Clients(socket));
    const channels = await Promise.all(
      Array.from({ length: channelCount }, () => {
        const path = `/${crypto.randomUUID()}`;
        return Promise.all(clients.map((node) => node.join(path)));
      }),
    );
    return new FirstWords(clients, channels);
  }

  /** Lets one client of each channel speak, the nodes in turn, while `fault` goes on or right after it. */
  async speakDuring(fault: Promise<void>): Promise<void> {
    let isOver = false;
    const over = fault.then(() => {
      isOver = true;
    });
    for (let i = 0; i < channelCount; i++) {
      const sender = this.#senderOf(i);
      if (sender.isOpen) sender.send(wordsOf(i));
      if (isOver) await pause(pauseMs.after);
      else await Promise.race([over, pause(pauseMs.during)]);
    }
    await over;
  }

  /**
   * Resolves when nobody is open without what was said, and gets the codes of
   * those who were closed.
   */
  async heard(): Promise<number[]> {
    const missing = (): number =>
      this.#pairs().filter(([sender, receiver]) =>
        sender.isOpen && receiver.isOpen && receiver.untaken.length === 0
      ).length;
    await eventually(
      () => missing() === 0,
      () => `first words to be heard: ${missing()} are open without them`,
      { timeoutMs: heardTimeoutMs },
    );
    for (const [i, channel] of this.#channels.entries()) {
      const sender = this.#senderOf(i);
      // The node may have closed it before it got anything.
      if (!sender.isOpen) continue;
      for (const client of channel.filter(({ isOpen }) => isOpen)) {
        const expected = client === sender ? [] : [wordsOf(i)];
        assert.deepEqual(client.untaken, expected);
      }
    }
    const closed = this.#channels.flat().filter(({ isOpen }) => !isOpen);
    return await Promise.all(
      closed.map(async (client) => (await client.closed).code),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.#clients) await node[Symbol.asyncDispose]();
  }

  #senderOf(channel: number): Client {
    const clients = this.#channels[channel]!;
    return clients[channel % clients.length]!;
  }

  /** Each sender with each of its receivers. */
  #pairs(): [Client, Client][] {
    return this.#channels.flatMap((channel, i) => {
      const sender = this.#senderOf(i);
      return channel.filter((client) => client !== sender)
        .map((receiver): [Client, Client] => [sender, receiver]);
    });
  }
}

function wordsOf(channel: number): string {
  return `the first words in channel ${channel}`;
}
