import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { writeBatch } from "../../src/amqp/batch.ts";
import { type Kind, writeEnvelope } from "../../src/amqp/envelope.ts";
import type { Memberships } from "../../src/amqp/memberships.ts";
import { everyNode } from "../../src/amqp/outbox.ts";
import { QueueWatch } from "../../src/amqp/queue_watch.ts";
import { Receiver } from "../../src/amqp/receiver.ts";
import { channelKey } from "../../src/relay/channel_hash.ts";

import { type Content, text } from "../helpers/messages.ts";
import { RecordingListener } from "../helpers/bridge_node.ts";
import {
  bindingLink,
  makeMemberships,
  one as other,
  own,
  silentLink,
} from "./fakes.ts";

/** A receiver of a node that is in the channel `/a`, whose clients leave when they are told of losses. */
class Bench {
  readonly listener = new RecordingListener();
  readonly gaps: string[] = [];
  readonly probes: string[] = [];
  readonly heard: string[] = [];
  /** Who sent anything at all. */
  readonly noticed: string[] = [];
  readonly receipts: string[] = [];
  readonly receiver: Receiver;
  readonly memberships: Memberships;
  #sequence = 0;

  constructor() {
    const memberships = this.memberships = makeMemberships({
      onMissed: ({ path }) => {
        this.gaps.push(`${path}: missed`);
        memberships.leave(path);
      },
    });
    void memberships.join("/a");
    this.receiver = new Receiver({
      node: own,
      ownKey: "own",
      memberships,
      probe: {
        passed: (number, key) => void this.probes.push(`${number} by ${key}`),
        returned: (number) => void this.probes.push(`${number} back`),
      },
      numbers: {
        heard: ({ kind, node }) => void this.heard.push(`${kind} of ${node}`),
      },
      agreement: {
        answered: ({ sequence, since }) =>
          void this.heard.push(`answer ${sequence}: ${since}`),
        echoed: ({ sequence }, key, body) =>
          void this.heard.push(
            `echo ${sequence} for ${Buffer.from(body)} by ${key}`,
          ),
        returned: (number) => void this.heard.push(`ask ${number} is back`),
      },
      answers: {
        asked: ({ sequence }) => void this.heard.push(`ask ${sequence}`),
      },
      peers: {
        heard: ({ kind }, body) =>
          void this.heard.push(`${kind}: ${Buffer.from(body)}`),
        noticed: (node) => void this.noticed.push(node),
      },
      watch: new QueueWatch(10_000),
      posts: {
        received: (sequence, members) =>
          void this.receipts.push(`${members} got ${sequence}`),
      },
      onReceived: ({ sequence }, members) =>
        void this.receipts.push(`tell that ${members} got ${sequence}`),
      onGap: ({ path }, reason) => void this.gaps.push(`${path}: ${reason}`),
    });
    this.receiver.start(this.listener);
  }

  /** Lets a message come, by default the next one of another node in `/a`. */
  receive(
    kind: Kind,
    body: string | Uint8Array,
    { key = channelKey("/a"), replyTo, ...numbers }: {
      key?: string;
      node?: string;
      sequence?: number;
      since?: number;
      replyTo?: string;
    } = {},
  ): void {
    const since = this.#sequence;
    const sequence = ++this.#sequence;
    const envelope = { kind, node: other, sequence, since, ...numbers };
    this.receiver.receive({
      key,
      properties: { ...writeEnvelope(envelope), replyTo },
      body: new Uint8Array(Buffer.from(body as string)),
    });
  }

  get messages(): Content[] {
    return this.listener.messages("/a");
  }
}

Deno.test("Receiver hands over messages of every kind, in order", () => {
  const bench = new Bench();
  bench.receive("text", "one");
  bench.receive("binary", new Uint8Array([2]));
  bench.receive("batch", writeBatch([text("three"), text("four")]));
  const expected = ["one", new Uint8Array([2]), "three", "four"];
  assert.deepEqual(bench.messages, expected);
  assert.deepEqual(bench.receiver.counts, { received: 4, duplicates: 0 });
  assert.deepEqual(bench.gaps, []);
});

Deno.test("Receiver makes valid text of what a foreign publisher calls text", () => {
  const bench = new Bench();
  // A lone byte, and a character that is cut.
  const notUtf8 = new Uint8Array([0x61, 0xff, 0xe2, 0x82]);
  const replaced = "a\uFFFD\uFFFD";
  bench.receive("text", notUtf8);
  const valid = text("valid");
  const batch = [valid, { ...valid, payload: notUtf8 }, valid];
  bench.receive("batch", writeBatch(batch));
  // Bytes are bytes.
  bench.receive("binary", notUtf8);
  const expected = [replaced, "valid", replaced, "valid", notUtf8];
  assert.deepEqual(bench.messages, expected);
  assert.deepEqual(bench.gaps, []);
});

Deno.test("Receiver drops its own messages, duplicates, and those of channels that it isn't in", () => {
  const bench = new Bench();
  bench.receive("text", "own", { node: own });
  bench.receive("text", "b", { key: channelKey("/b") });
  bench.receive("text", "first");
  bench.receive("text", "again", { sequence: 3 });
  const { delivered } = bench.listener;
  assert.deepEqual(delivered.map(({ content }) => content), ["first"]);
  assert.equal(bench.receiver.counts.duplicates, 1);
});

Deno.test("Receiver tells of gaps, notices, and batches that can't be read", () => {
  const bench = new Bench();
  bench.receive("text", "one");
  bench.receive("text", "three", { since: 100 });
  bench.receive("lost", "5");
  // This node's queue had room.
  bench.receive("rejected", "5", { key: everyNode });
  bench.receive("lost", "5", { key: everyNode });
  bench.receive("batch", new Uint8Array([1]), { since: 0 });
  assert.deepEqual(bench.gaps, [
    "/a: messages are missing",
    '/a: a node reports "lost"',
    '/a: a node reports "lost" for many channels',
    "/a: a batch can't be read",
  ]);
});

Deno.test("Receiver gives messages to itself to the probe, and ignores what no node wrote", () => {
  const bench = new Bench();
  bench.receive("probe", "", { key: "own", node: own });
  bench.receive("probe", "", { node: own });
  // Somebody else's.
  bench.receive("probe", "", { key: "own" });
  assert.deepEqual(bench.probes, ["1 back", `2 by ${channelKey("/a")}`]);
  const properties = { type: "text", appId: "me", messageId: "1.0" };
  const body = new Uint8Array();
  bench.receiver.receive({ key: channelKey("/a"), properties, body });
  assert.deepEqual(bench.listener.delivered, []);
  assert.deepEqual(bench.gaps, []);
});

Deno.test("Receiver hands over other nodes' news, whether they are for all or for this node", () => {
  const bench = new Bench();
  bench.receive("hello", "", { key: everyNode });
  bench.receive("digest", "", { key: "own" });
  // What this node told comes back, too.
  bench.receive("digest", "", { key: everyNode, node: own });
  bench.receive("alive", "queue", { key: everyNode });
  bench.receive("bye", "", { key: everyNode });
  assert.deepEqual(bench.heard, [
    `hello of ${other}`,
    `digest of ${other}`,
    "alive: queue",
    "bye: ",
  ]);
  bench.receive("text", "a sign of life");
  bench.receive("text", "no news", { node: own });
  assert.deepEqual(bench.noticed, Array(5).fill(other));
  assert.deepEqual(bench.gaps, []);
});

Deno.test("Receiver hands over what concerns joins, and that its own question is back", () => {
  const bench = new Bench();
  bench.receive("ask", "", { key: everyNode });
  bench.receive("ask", "", { key: everyNode, node: own });
  bench.receive("answer", "", { key: "own", since: 40 });
  bench.receive("echo", own);
  bench.receive("echo", own, { node: own });
  bench.receive("batch", "", { node: own });
  bench.receive("rejected", "", { node: own });
  assert.deepEqual(bench.heard, [
    "ask 1",
    "ask 2 is back",
    "answer 3: 40",
    `echo 4 for ${own} by ${channelKey("/a")}`,
  ]);
  assert.deepEqual([bench.messages, bench.gaps], [[], []]);
});

// It was: who joined right after the others were told of a lost queue was told too, of
// messages that had come in between, when nobody was there.
Deno.test("Receiver begins anew for those who come after a loss was told", async () => {
  const bench = new Bench();
  const { memberships } = bench;
  memberships.connected(bindingLink, "queue");
  await memberships.join("/a");
  memberships.disconnected();
  memberships.loseBindings();
  // The first message is here before the answer to the bind.
  memberships.connected(silentLink, "another queue");
  bench.receive("text", "tells them");
  assert.deepEqual(bench.gaps, ["/a: missed"]);
  bench.receive("text", "finds nobody");
  void memberships.join("/a");
  bench.receive("text", "for the new one");
  assert.deepEqual(bench.gaps, ["/a: missed"]);
  assert.deepEqual(bench.messages, ["for the new one"]);
});

Deno.test("Receiver tells a node that asks how many members got its message", () => {
  const bench = new Bench();
  bench.receive("text", "one");
  bench.receive("text", "two", { replyTo: "node" });
  bench.receive("text", "b", { key: channelKey("/b"), replyTo: "node" });
  assert.deepEqual(bench.receipts, ["tell that 1 got 2"]);
  bench.receive("receipt", "", { key: "own", since: 5 });
  assert.deepEqual(bench.receipts.slice(1), ["5 got 4"]);
  assert.deepEqual(bench.gaps, []);
});
