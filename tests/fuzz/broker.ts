/** Messages of a foreign, older or newer node, through a real RabbitMQ, to real nodes. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readBatch } from "../../src/amqp/batch.ts";
import { readEnvelope } from "../../src/amqp/envelope.ts";
import { channelKey } from "../../src/relay/channel_hash.ts";
import { type Broker, startBroker } from "../../tools/broker.ts";
import { eventually } from "../../tools/eventually.ts";
import {
  BrokerRefusal,
  encodeProperties,
  type ForeignMessage,
  ForeignNode,
  type ForeignProperties,
  nestedHeaders,
  short,
  uint,
} from "../helpers/foreign_node.ts";
import { concat } from "../../tools/raw_client.ts";
import type { Random } from "../helpers/random.ts";
import { type Client, Clients, type Received } from "../../tools/ws_client.ts";
import { batchLike, propertiesLike } from "./decoders.ts";
import { mutateBytes, oddText } from "./mutations.ts";
import { canary, FuzzedNode, keyOf, paths } from "./node.ts";
import { count, type Counts, type Session, type Target } from "./target.ts";

/** Where a message goes; what `own` and `sender` mean is known at run time only. */
interface Input {
  /** `own`: what a node sends to itself; `private`: the channel that nothing may disturb. */
  readonly to: "open" | "private" | "all" | "own" | "unknown";
  /** `node`: it claims to come from one of the nodes. */
  readonly from: "stranger" | "node";
  readonly properties: ForeignProperties;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** The channel that anything is published in. */
const openPath = `/${canary}/open`;

/**
 * Without this, RabbitMQ prints everything that waits behind a message with
 * malformed headers, digit by digit, before it refuses that: with the bodies of
 * a batch, it takes a minute and more than 1 GiB.
 */
const brokerConfig = "log.console.level = critical";

/** How many bytes the value of a header takes, by its type (RabbitMQ's "AMQP 0-9-1 errata"). */
const widths: Readonly<Record<string, number>> = {
  ...{ t: 1, b: 1, B: 1, s: 2, u: 2, I: 4, i: 4, f: 4, D: 5, V: 0 },
  ...{ l: 8, d: 8, T: 8 },
};

/** Gets a table of headers, of every type that there is. */
function tableOf(random: Random, depth = 0): Uint8Array<ArrayBuffer> {
  const fields = Array.from({ length: random.integer(0, 4) }, () => [
    short(random.chance(0.8) ? "x" : oddText(random)),
    fieldOf(random, depth),
  ]);
  return concat(fields.flat());
}

function fieldOf(random: Random, depth: number): Uint8Array<ArrayBuffer> {
  const tag = random.pick([...Object.keys(widths), "S", "x", "F", "A"]);
  const mark = new TextEncoder().encode(tag);
  const width = widths[tag];
  if (width !== undefined) return concat([mark, random.bytes(width)]);
  const isDeep = depth >= 4;
  const bytes = tag === "F" && !isDeep
    ? tableOf(random, depth + 1)
    : tag === "A" && !isDeep
    ? fieldOf(random, depth + 1)
    : random.bytes(tag === "S" || tag === "x" ? random.integer(0, 20) : 0);
  return concat([mark, uint(4, bytes.length), bytes]);
}

function headersOf(random: Random): Uint8Array<ArrayBuffer> {
  // Far deeper ones cost the node its queue, see `tests/e2e/bridge_test.ts`.
  if (random.chance(0.05)) return nestedHeaders(random.integer(10, 1_000));
  return random.chance(0.95)
    ? tableOf(random)
    : mutateBytes(random, tableOf(random), { most: 1 });
}

function bodyOf(random: Random): Uint8Array<ArrayBuffer> {
  const numbers = ["0", "-1", "1e400", "Infinity", "NaN", "0x10", ""];
  return random.pick([
    batchLike(random),
    random.bytes(random.integer(0, 300)),
    new TextEncoder().encode(random.pick(numbers)),
    new TextEncoder().encode(oddText(random)),
    new Uint8Array(random.pick([0, 70_000, 300_000])),
  ]);
}

function make(random: Random): Input {
  const envelope = propertiesLike(random);
  const properties: ForeignProperties = {
    ...random.chance(0.95) ? { type: envelope.type } : {},
    ...random.chance(0.95) ? { appId: envelope.appId } : {},
    ...random.chance(0.95) ? { messageId: envelope.messageId } : {},
    ...random.chance(0.3) ? { headers: headersOf(random) } : {},
    ...random.chance(0.1) ? { contentType: oddText(random) } : {},
    ...random.chance(0.1) ? { priority: random.integer(0, 255) } : {},
    ...random.chance(0.1) ? { timestamp: 2n ** 63n } : {},
    ...random.chance(0.1) ? { replyTo: random.bytes(20) } : {},
    ...random.chance(0.05) ? { correlationId: random.bytes(255) } : {},
    ...random.chance(0.05) ? { appId: random.bytes(16) } : {},
    // The broker refuses others.
    deliveryMode: random.pick([1, 2]),
  };
  return {
    to: random.pick(
      ["open", "open", "open", "private", "all", "own", "unknown"] as const,
    ),
    from: random.pick(["stranger", "node"] as const),
    properties,
    body: bodyOf(random),
  };
}

/**
 * Gets where a message goes. One that rightly does something to channels that it
 * isn't for goes elsewhere: a notice for all is for all, and whoever speaks for
 * a node in one of its channels may say what that node would.
 */
function placeOf({ to, from, properties }: Input): Input["to"] {
  if (to !== "all" && to !== "private") return to;
  const envelope = readEnvelope({
    type: asText(properties.type),
    appId: from === "node" ? "0".repeat(16) : asText(properties.appId),
    messageId: asText(properties.messageId),
  });
  const isHarmless = to === "private"
    ? envelope === undefined
    : envelope?.kind !== "lost" && envelope?.kind !== "rejected";
  return isHarmless ? to : "open";
}

function asText(value: string | Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : Buffer.from(value).toString();
}

/** Gets what the clients of the open channel may get of a message. */
function allowed(input: Input): Received[] {
  const { properties, body } = input;
  if (placeOf(input) !== "open") return [];
  const text = Buffer.from(body).toString();
  switch (asText(properties.type)) {
    case "text":
      return [text];
    case "binary":
      return [body];
    case "batch":
      try {
        return readBatch(body).map(({ isText, payload }) =>
          isText ? Buffer.from(payload).toString() : payload
        );
      } catch {
        return [];
      }
    default:
      return [];
  }
}

/** A client of the open channel, which comes back when it is told that it missed something. */
class Listener {
  readonly #clients: Clients;
  readonly #got: Received[] = [];
  #client: Client | undefined;
  #ended = false;
  #fences = 0;

  constructor(socket: string) {
    this.#clients = new Clients(socket);
  }

  /** Joins, and again whenever it is closed; rejects if that is for no good reason. */
  async join(): Promise<void> {
    const client = this.#client = await this.#clients.join(openPath);
    client.closed.then(({ code }) => {
      if (this.#ended) return;
      this.#got.push(...client.untaken);
      // A batch may have more messages than a client can take at once.
      if (code === 4000 || code === 4001) return this.join();
      this.#got.push(`a close with ${code}`);
    }).catch((error) => this.#got.push(`${error}`));
  }

  /** Takes all that its node has sent to it since the last time: what came before something that is said now. */
  async take(): Promise<Received[]> {
    const fence = `fence ${++this.#fences}`;
    await eventually(
      async () => {
        // Again each time: it may have come back meanwhile.
        const speaker = await this.#clients.join(openPath);
        speaker.send(fence);
        speaker.close();
        return [...this.#got, ...this.#client!.untaken].includes(fence);
      },
      "the client of the open channel to have everything",
    );
    const untaken = this.#client!.untaken as Received[];
    return [...this.#got.splice(0), ...untaken.splice(0)].filter((message) =>
      typeof message !== "string" || !/^fence \d+$/.test(message)
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await this.#clients[Symbol.asyncDispose]();
  }
}

/** What a session works with. */
interface Setting {
  readonly broker: Broker;
  readonly nodes: readonly FuzzedNode[];
  readonly listener: Listener;
  /** The name of a node on the broker. */
  readonly name: string;
}

async function startSetting(stack: AsyncDisposableStack): Promise<Setting> {
  const broker = stack.use(await startBroker({ config: brokerConfig }));
  const config = `[staps]\namqp = ${broker.url()}\n`;
  const other = await FuzzedNode.start(stack, { config, silent: true });
  const node = await FuzzedNode.start(stack, { config, other });
  const listener = stack.use(new Listener(node.staps.socket));
  await listener.join();
  const queues = await broker.eval(
    `[binary_to_list(element(4, amqqueue:get_name(Q))) || ` +
      `Q <- rabbit_amqqueue:list(<<"/">>)]`,
  );
  const [, name] = /staps\.node\.([0-9a-f]{16})/.exec(queues)!;
  const nodes = [node, other];
  for (const each of nodes) await each.settle();
  return { broker, nodes, listener, name: name! };
}

class BrokerSession implements Session<Input> {
  readonly #setting: Setting;
  readonly #counts: Counts;
  #foreign: ForeignNode | undefined;

  constructor(setting: Setting, counts: Counts) {
    this.#setting = setting;
    this.#counts = counts;
  }

  async look(inputs: readonly Input[]): Promise<void> {
    const { nodes, listener } = this.#setting;
    const lines = nodes.map(({ noteworthyLines }) => noteworthyLines);
    await this.#publish(inputs);
    await this.#drained();
    for (const [i, node] of nodes.entries()) {
      await node.look();
      const { bridge } = await node.status();
      assert.ok(bridge?.connected, "The bridge isn't connected");
      assert.equal(bridge.connects, 1, "The bridge had to connect again");
      const fresh = node.noteworthyLines - lines[i]!;
      assert.ok(
        fresh <= inputs.length,
        `${fresh} lines for ${inputs.length} messages`,
      );
    }
    const most = new Set(inputs.flatMap(allowed).map(keyOf));
    for (const message of await listener.take()) {
      assert.ok(
        most.has(keyOf(message)),
        `A client got what nobody published: ${keyOf(message).slice(0, 200)}`,
      );
      count(this.#counts, "foreign messages delivered");
    }
    this.#counts["messages between others"] = nodes[0]!.talked;
  }

  [Symbol.dispose](): void {
    this.#foreign?.[Symbol.dispose]();
  }

  /** Publishes all at once; if the broker refuses that, one by one, as it doesn't tell which it was. */
  async #publish(inputs: readonly Input[]): Promise<void> {
    if (await this.#publishOnce(inputs)) return;
    for (const input of inputs) {
      if (await this.#publishOnce([input])) continue;
      count(this.#counts, "refused by the broker");
    }
  }

  async #publishOnce(inputs: readonly Input[]): Promise<boolean> {
    this.#foreign ??= await ForeignNode.connect({
      port: this.#setting.broker.port,
      ...{ user: "staps", password: "secret", vhost: "/" },
    });
    try {
      await this.#foreign.publish(inputs.map((input) => this.#message(input)));
      return true;
    } catch (error) {
      if (!(error instanceof BrokerRefusal)) throw error;
      this.#foreign[Symbol.dispose]();
      this.#foreign = undefined;
      return false;
    }
  }

  #message(input: Input): ForeignMessage {
    const { from, properties, body } = input;
    const { name } = this.#setting;
    const key = {
      open: channelKey(openPath),
      private: channelKey(paths.private),
      all: "all",
      own: `node.${name}`,
      unknown: "unknown",
    }[placeOf(input)];
    const sender = from === "node" ? { appId: name } : {};
    const encoded = encodeProperties({ ...properties, ...sender });
    return { exchange: "staps", key, properties: encoded, body };
  }

  /** Resolves when the nodes have taken all that was published. */
  async #drained(): Promise<void> {
    await eventually(
      async () =>
        await this.#setting.broker.eval(
          `lists:sum([case rabbit_amqqueue:stat(Q) of {ok, N, _} -> N; _ -> 1 end || ` +
            `Q <- rabbit_amqqueue:list(<<"/">>)])`,
        ) === "0",
      "the nodes to take all messages",
    );
  }
}

/** Messages of others on the broker. */
export const broker: Target<Input> = {
  name: "broker",
  about:
    "AMQP messages of a foreign, older or newer node: routing keys, properties, headers, bodies, through a real RabbitMQ",
  batch: 300,
  quickCount: 300,
  make,
  fixed: ["to", "from"],
  open: async (stack, counts) =>
    stack.use(new BrokerSession(await startSetting(stack), counts)),
};
