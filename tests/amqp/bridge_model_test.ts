/**
 * All or told, in a model: the bridge's own numbering and bookkeeping, with a
 * broker and a network that do the worst they may, in every order.
 */
import assert from "node:assert/strict";
import type { Entry } from "../../src/amqp/entry.ts";
import { Outbox } from "../../src/amqp/outbox.ts";
import { QueueWatch } from "../../src/amqp/queue_watch.ts";
import { Tracker } from "../../src/amqp/tracker.ts";
import { contentOf, text } from "../helpers/messages.ts";
import { fc } from "../helpers/property.ts";

const keys = ["a", "b"];
const queueBytes = 400;
const outboxBytes = 1_500;

/** What a broker keeps of an entry. */
interface Stored {
  readonly from: ModelNode;
  readonly entry: Entry;
  readonly probe?: { number: number; sentMs: number; received: number };
}

/** A channel on a node, with one client that reconnects whenever it is closed. */
class ModelChannel {
  lastSequence = 0;
  lastSent: number | undefined = 0;
  joined = false;
  joinedMs = 0;
  tracker = new Tracker();
  /** Messages that this client has to get, unless it is told. */
  readonly owed = new Set<string>();
  /** The last message that it got, by sender. */
  readonly got = new Map<string, number>();
  /** The latest probe when its binding went, until a later one is back. */
  leftAt: number | undefined;

  constructor(readonly key: string) {}

  /** Another client takes the place of this one. */
  renew(): void {
    this.owed.clear();
    this.got.clear();
  }
}

class ModelNode {
  readonly outbox = new Outbox({ maxBytes: outboxBytes, onCaughtUp: () => {} });
  readonly channels = new Map(keys.map((key) => [key, new ModelChannel(key)]));
  readonly watch = new QueueWatch(queueBytes);
  queue: Stored[] = [];
  /** Delivered and not acknowledged: the broker still has them. */
  unacked: Stored[] = [];
  answers: { entry: Entry; rejected: boolean }[] = [];
  probes = 0;

  constructor(readonly name: string) {}

  channel(key: string): ModelChannel {
    return this.channels.get(key)!;
  }
}

class Model {
  readonly nodes = ["x", "y", "z"].map((name) => new ModelNode(name));
  #ms = 0;
  #count = 0;
  /** Nothing can be lost before one of these. */
  losses = 0;

  act({ op, node: index, key, n }: Step): void {
    this.#ms++;
    const node = this.nodes[index]!;
    const channel = node.channel(key);
    switch (op) {
      case "publish":
        return this.publish(node, channel, n);
      case "send":
        return this.send(node, n);
      case "answer":
        return this.answer(node, n);
      case "cut":
        return this.cut(node, n);
      case "deliver":
        return this.deliver(node, n);
      case "ack":
        node.unacked = [];
        return;
      case "requeue":
        node.queue.unshift(...node.unacked);
        node.unacked = [];
        return;
      case "probe":
        return this.probe(node);
      case "tell":
        return node.outbox.addRejectedNotices();
      case "join":
        if (channel.joined) return;
        channel.joined = true;
        channel.joinedMs = this.#ms;
        return;
      case "leave":
        if (channel.joined) channel.leftAt = node.probes;
        channel.joined = false;
        channel.tracker = new Tracker();
        return channel.renew();
      default:
        assert.fail(op);
    }
  }

  publish(node: ModelNode, channel: ModelChannel, n: number): void {
    if (!channel.joined) return;
    const message = `${node.name} ${++this.#count}`.padEnd(n * 12);
    for (const other of this.nodes) {
      const there = other.channel(channel.key);
      if (other !== node && there.joined) there.owed.add(message.trimEnd());
    }
    if (!node.outbox.add(channel, text(message))) this.losses++;
  }

  send(node: ModelNode, n: number): void {
    for (let i = 0; i < n; i++) {
      const entry = node.outbox.take();
      if (!entry) return;
      node.answers.push({ entry, rejected: this.#route(node, entry) });
    }
  }

  /** The connection breaks while `n` entries are sent; half of them get through. */
  cut(node: ModelNode, n: number): void {
    for (let i = 0; i < n; i++) {
      const entry = node.outbox.take();
      if (entry && i < n / 2) this.#route(node, entry);
    }
    node.answers = [];
    node.outbox.rewind();
  }

  answer(node: ModelNode, n: number): void {
    for (const { entry, rejected } of node.answers.splice(0, n)) {
      if (rejected) node.outbox.reject(entry);
      else node.outbox.confirm(entry);
    }
  }

  /** Gets whether some queue had no room. */
  #route(from: ModelNode, entry: Entry): boolean {
    let rejected = false;
    const copy = { ...entry, messages: [...entry.messages] };
    for (const node of this.nodes) {
      if (!node.channel(entry.key).joined) continue;
      if (size(entry) + sum(node.queue) > queueBytes) {
        rejected = true;
        this.losses++;
      } else node.queue.push({ from, entry: copy });
    }
    return rejected;
  }

  probe(node: ModelNode): void {
    if (sum(node.queue) > queueBytes) return;
    const entry = { kind: "probe" } as Entry;
    const number = ++node.probes;
    const probe = { number, sentMs: this.#ms, received: node.watch.received };
    node.queue.push({ from: node, entry, probe });
  }

  deliver(node: ModelNode, n: number): void {
    for (const stored of node.queue.splice(0, n)) {
      node.unacked.push(stored);
      const { from, entry, probe } = stored;
      node.watch.receive(size(entry));
      if (probe) {
        node.watch.probed(probe);
        for (const channel of node.channels.values()) {
          if (probe.number > channel.leftAt!) channel.leftAt = undefined;
        }
      }
      if (probe || from === node) continue;
      const channel = node.channel(entry.key);
      if (channel.joined) this.#receive(node, channel, stored);
    }
  }

  #receive(
    node: ModelNode,
    channel: ModelChannel,
    { from, entry }: Stored,
  ): void {
    const envelope = { ...entry, node: from.name };
    if (entry.kind === "lost" || entry.kind === "rejected") {
      const isMissing = channel.tracker.notice(
        envelope,
        () => node.watch.mayHaveBeenFull(channel.joinedMs, entry.bytes),
      );
      if (isMissing) this.#tell(channel);
      return;
    }
    const mayBeLeftover = channel.leftAt !== undefined;
    const verdict = channel.tracker.message(envelope, mayBeLeftover);
    if (verdict === "duplicate") return;
    if (verdict === "gap") this.#tell(channel);
    for (const message of entry.messages) {
      const said = (contentOf(message) as string).trimEnd();
      const [sender, number] = said.split(" ") as [string, string];
      const last = channel.got.get(sender) ?? 0;
      assert.ok(Number(number) > last, `got ${number} after ${last}`);
      channel.got.set(sender, Number(number));
      channel.owed.delete(said);
    }
  }

  #tell(channel: ModelChannel): void {
    assert.ok(this.losses > 0, "told although nothing was lost");
    channel.renew();
  }

  /** Does `steps`, lets everything arrive that can, and checks what came. */
  play(steps: readonly Step[]): void {
    for (const step of steps) this.act(step);
    for (let round = 0; round < 200; round++) {
      for (const node of this.nodes) {
        this.#ms++;
        node.outbox.addRejectedNotices();
        this.send(node, 100);
        this.answer(node, 100);
        this.probe(node);
        this.deliver(node, 100);
        node.unacked = [];
      }
    }
    for (const node of this.nodes) {
      assert.ok(node.outbox.isEmpty);
      assert.equal(node.outbox.bytes, 0);
      assert.equal(node.outbox.messages, 0);
      for (const channel of node.channels.values()) {
        assert.deepEqual([...channel.owed], [], `${node.name} missed these`);
      }
    }
  }
}

function size({ kind, bytes, messages }: Entry): number {
  if (kind === "probe") return 0;
  if (kind === "batch") return bytes + 4 * messages.length;
  return messages.length > 0 ? bytes : String(bytes).length;
}

function sum(stored: readonly Stored[]): number {
  return stored.reduce((bytes, { entry }) => bytes + size(entry), 0);
}

/** What happens to a node, or to a channel on it. */
interface Step {
  readonly op: string;
  readonly node: number;
  readonly key: string;
  readonly n: number;
}

const ops = "publish send answer cut deliver ack requeue probe tell join leave";

const step: fc.Arbitrary<Step> = fc.record({
  op: fc.oneof(
    { weight: 8, arbitrary: fc.constant("publish") },
    { weight: 3, arbitrary: fc.constantFrom("send", "answer", "deliver") },
    { weight: 2, arbitrary: fc.constantFrom(...ops.split(" ")) },
  ),
  node: fc.nat({ max: 2 }),
  key: fc.constantFrom(...keys),
  n: fc.integer({ min: 1, max: 12 }),
});

Deno.test("Outbox, Tracker and QueueWatch: whoever misses a message is told, and nothing comes twice", () => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 20, maxLength: 250 }),
      fc.boolean(),
      (steps, joinFirst) => {
        const model = new Model();
        if (joinFirst) {
          for (let node = 0; node < 3; node++) {
            for (const key of keys) model.act({ op: "join", node, key, n: 1 });
          }
        }
        model.play(steps);
      },
    ),
    { numRuns: 400 },
  );
});

/** Reads steps in one channel, each written as `OP NODE`. */
function stepsIn(text: string): Step[] {
  return text.split(", ").map((one) => {
    const [op, node] = one.split(" ");
    return { op: op!, node: Number(node), key: "a", n: 1 };
  });
}

// It was told: clients were closed although they had missed nothing, when a
// node had left and joined again while its messages waited on the broker.
Deno.test("Tracker.message() takes no gap between memberships for a loss", () => {
  const message = "publish 0, send 0";
  // Whether or not the queue shows where the first membership ended.
  for (const before of ["", "probe 1, "]) {
    for (const after of ["", "probe 1, "]) {
      const again =
        `, leave 1, ${before}${message}, ${after}join 1, ${message}`;
      for (const times of [1, 2]) {
        const steps = `join 0, join 1, ${message}${again.repeat(times)}`;
        new Model().play(stepsIn(steps));
      }
    }
  }
});
