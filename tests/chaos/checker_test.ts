/** The checker finds nothing wrong with what is right, and whatever is wrong. */
import assert from "node:assert/strict";
import { eventually } from "../helpers/eventually.ts";
import { TempFolder } from "../helpers/folder.ts";
import {
  type Outcome,
  repository,
  runProgram,
  startStaps,
} from "../helpers/process.ts";
import { fc } from "../helpers/property.ts";
import { Random } from "../helpers/random.ts";
import { BrokenServer, type FlawName } from "./broken_server.ts";
import {
  Checker,
  type CheckerOptions,
  checkFile,
  type ViolationKind,
} from "./checker.ts";
import { Crowd, type CrowdOptions } from "./crowd.ts";
import { readDocumented } from "./excuses.ts";
import {
  type Event,
  formatEvent,
  History,
  type HistoryEvent,
  parseEvent,
  readHistory,
} from "./history.ts";
import { Payloads, readName } from "./payload.ts";

const protocol = await Deno.readTextFile(`${repository}/docs/protocol.md`);

/** A hectic crowd on one node, which the checker follows. */
interface Watch extends AsyncDisposable {
  readonly crowd: Crowd;
  readonly checker: Checker;
  readonly history: History;
}

async function watch(
  socket: string,
  options: Partial<CrowdOptions> = {},
): Promise<Watch> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await TempFolder.make());
  const checker = new Checker({ protocol });
  const random = new Random();
  const history = stack.use(History.begin({
    path: `${folder.path}/history`,
    seed: random.seed,
    onEvent: (event) => checker.take(event),
  }));
  const crowd = stack.use(
    await Crowd.start({
      history,
      random,
      doors: [{ name: "node", target: { socket }, node: 0 }],
      channels: 4,
      clientsPerChannel: 4,
      messagesPerSecond: 500,
      maxMessageBytes: 128 * 1024,
      channelLifeMs: [500, 1000],
      clientLifeMs: [100, 1500],
      shortStallMs: 100,
      settleTimeoutMs: 60_000,
      ...options,
    }),
  );
  const resources = stack.move();
  return {
    crowd,
    checker,
    history,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Ends it, and checks that nothing was wrong, now and when read back. */
async function assertFlawless(
  { crowd, checker, history }: Watch,
): Promise<void> {
  await crowd.finish();
  history.close();
  const verdict = checker.finish();
  assert.deepEqual(verdict.violations, []);
  assert.equal(checker.channelsKept, 0);
  const { counts } = crowd;
  assert.equal(verdict.channels, counts.channels);
  assert.equal(verdict.connections, counts.connections);
  assert.equal(verdict.messages, counts.messages);
  assert.equal(verdict.deliveries, counts.deliveries);
  assert.ok(verdict.deliveries > 500, `${verdict.deliveries} deliveries`);
  assert.deepEqual(await checkFile(history.path, { protocol }), verdict);
}

Deno.test("Checker finds nothing wrong with a relay that works", async () => {
  await using server = await BrokenServer.start("does nothing wrong");
  await using watched = await watch(server.socket);
  await eventually(() => watched.crowd.counts.channels > 8, "some channels");
  await watched.crowd.flows();
  await assertFlawless(watched);
});

Deno.test("Checker finds nothing wrong with staps", async () => {
  await using staps = await startStaps();
  await using watched = await watch(staps.socket, { rushChance: 0.2 });
  await eventually(() => watched.crowd.counts.channels > 8, "some channels");
  await watched.crowd.flows();
  await assertFlawless(watched);
});

Deno.test("Checker finds nothing wrong with staps when it closes clients who don't read", async () => {
  await using staps = await startStaps({
    config: "[limits]\nmessage_bytes = 128K\nclient_buffer_bytes = 1M\n" +
      "brake_bytes = 128K\nslow_after_s = 1\n",
  });
  await using watched = await watch(staps.socket, {
    channels: 2,
    messagesPerSecond: 800,
    channelLifeMs: [20_000, 30_000],
    clientLifeMs: [3000, 6000],
    longStallMs: 4000,
  });
  const { closes } = watched.crowd.counts;
  await eventually(() => closes[4000]! > 0, "a client to be closed with 4000");
  await watched.crowd.flows();
  await assertFlawless(watched);
});

Deno.test("Crowd.flows() tells between whom no messages flow", async () => {
  await using server = await BrokenServer.start("splits a channel");
  await using watched = await watch(server.socket, {
    channelLifeMs: [60_000, 60_000],
    clientLifeMs: [60_000, 60_000],
  });
  await assert.rejects(
    watched.crowd.flows({ timeoutMs: 1000 }),
    /in vain for messages between \d+ pairs of clients: \d+ has 0 of \d+ from/,
  );
});

/** What the checker has to find. More may follow from the same flaw. */
const findings: Record<
  Exclude<FlawName, "does nothing wrong">,
  ViolationKind
> = {
  "echoes a message": "echo",
  "echoes an empty message": "echo",
  "loses a message": "missing",
  "loses an empty message": "missing",
  "loses a message for one of them": "missing",
  "delivers a message twice": "twice",
  "delivers an empty message twice": "twice",
  "swaps two messages of one publisher": "order",
  "turns text into binary": "kind",
  "turns an empty text into binary": "kind",
  "cuts off the last byte": "bytes",
  "changes a byte": "bytes",
  "makes a message up": "invented",
  "passes a message on to another channel": "foreign",
  "splits a channel": "missing",
  "joins late": "missing",
  "delivers no more to one of them": "missing",
  "closes with a code that isn't documented": "close",
  "closes with a reason that isn't documented": "close",
  "closes with a code that nothing excuses": "close",
  "leaves a gap, and closes late": "missing",
  "refuses a client": "refused",
};

for (const [flaw, kind] of Object.entries(findings)) {
  Deno.test(`Checker notices a relay that ${flaw}`, async () => {
    await using server = await BrokenServer.start(flaw as FlawName);
    // It doesn't wait long for what is lost.
    const options = { settleTimeoutMs: 5000 };
    await using watched = await watch(server.socket, options);
    const { crowd, checker } = watched;
    await eventually(
      () => checker.violations.some((violation) => violation.kind === kind),
      () => `a violation: ${kind}, ${JSON.stringify(crowd.counts)}`,
    );
  });
}

/** Gets what a checker finds in a history, as kinds and connections. */
function judge(
  events: readonly (HistoryEvent & { at?: number })[],
  options: Omit<CheckerOptions, "protocol"> = {},
): string[] {
  const checker = new Checker({ protocol, ...options });
  let timeMs = 0;
  for (const { at, ...event } of events) {
    timeMs = at ?? timeMs + 1;
    checker.take({ ...event, timeMs } as Event);
  }
  return checker.finish().violations.map(({ kind, connection }) =>
    `${kind} ${connection}`
  );
}

/** Makes events of channel 1 and of one kind of message. */
const an = {
  arrival: (connection: number, node = 0): HistoryEvent[] => [
    { event: "dial", connection, channel: 1, door: 0 },
    { event: "open", connection, node },
  ],
  send: (connection: number, number: number): HistoryEvent => {
    const [kind, bytes, digest] = ["text", 9, number] as const;
    return {
      event: "send",
      connection,
      number,
      named: true,
      kind,
      bytes,
      digest,
    };
  },
  receive: (
    connection: number,
    publisher: number,
    number: number,
  ): HistoryEvent => {
    const [kind, bytes, digest] = ["text", 9, number] as const;
    return {
      event: "receive",
      connection,
      publisher,
      number,
      kind,
      bytes,
      digest,
    };
  },
  departure: (connection: number): HistoryEvent[] => [
    { event: "leave", connection, how: "close", code: 1000 },
    { event: "close", connection, by: "client", code: 1000, reason: "" },
  ],
  reset: (connection: number): HistoryEvent[] => [
    { event: "leave", connection, how: "reset", code: 1006 },
    { event: "close", connection, by: "client", code: 1006, reason: "" },
  ],
  end: (connection: number, code: number, reason = ""): HistoryEvent => {
    const by = code === 1006 ? "nobody" : "server";
    return { event: "close", connection, by, code, reason };
  },
  fault: (
    fault: number,
    kind: (HistoryEvent & { event: "fault" })["kind"],
    node = -1,
  ): HistoryEvent => ({ event: "fault", fault, kind, node }),
};
const settled: HistoryEvent = { event: "settled", channel: 1 };

Deno.test("Checker accepts that a suffix is lost of who broke off, and of nobody else", () => {
  const begin = [
    ...an.arrival(1),
    ...an.arrival(2),
    an.send(1, 1),
    an.send(1, 2),
  ];
  const end = [settled, ...an.departure(2)];
  const first = an.receive(2, 1, 1);
  assert.deepEqual(judge([...begin, first, ...an.reset(1), ...end]), []);
  assert.deepEqual(judge([...begin, ...an.reset(1), ...end]), []);
  assert.deepEqual(judge([...begin, first, ...an.departure(1), ...end]), [
    "missing 2",
  ]);
  assert.deepEqual(judge([...begin, first, ...end, ...an.departure(1)]), [
    "missing 2",
  ]);
  assert.deepEqual(
    judge([...begin, an.receive(2, 1, 2), ...an.reset(1), ...end]),
    ["missing 2"],
  );
});

Deno.test("Checker takes an unnamed message for one from before the open only where it has to", () => {
  const empty = { named: false, kind: "text", bytes: 0, digest: 0 } as const;
  const unnamed = (number: number): HistoryEvent => ({
    ...{ event: "send", connection: 1, number },
    ...empty,
  });
  const got: HistoryEvent = {
    ...{ event: "receive", connection: 2, publisher: 0, number: 0 },
    ...empty,
  };
  const begin = [
    ...an.arrival(1),
    an.send(1, 1),
    unnamed(2),
    an.send(1, 3),
    ...an.arrival(2),
    unnamed(4),
    an.send(1, 5),
    an.receive(2, 1, 1),
  ];
  const end = [an.receive(2, 1, 5), ...an.departure(2), ...an.departure(1)];
  // 2 and 3 are missing, which were sent before.
  assert.deepEqual(judge([...begin, got, ...end]), []);
  assert.deepEqual(judge([...begin, ...end]), ["missing 2"]);
  assert.deepEqual(judge([...begin, got, an.receive(2, 1, 3), ...end]), [
    "missing 2",
  ]);
});

Deno.test("Checker wants a suffix lost to all clients of a node, or to none", () => {
  const begin = (node: number): HistoryEvent[] => [
    ...an.arrival(1),
    ...an.arrival(2),
    ...an.arrival(3, node),
    an.send(1, 1),
    ...an.reset(1),
    an.receive(2, 1, 1),
  ];
  const end = [...an.departure(2), ...an.departure(3)];
  assert.deepEqual(judge([...begin(1), ...end]), []);
  assert.deepEqual(judge([...begin(0), ...end]), ["missing 3"]);
  assert.deepEqual(judge([...begin(0), an.receive(3, 1, 1), ...end]), []);
});

Deno.test("Checker wants what came before a close to be without a gap", () => {
  const close = an.end(2, 4001, "messages may have been lost");
  const begin = [
    an.fault(1, "queue-deleted"),
    ...an.arrival(1),
    ...an.arrival(2),
    an.send(1, 1),
    an.send(1, 2),
    an.send(1, 3),
    an.receive(2, 1, 1),
  ];
  assert.deepEqual(judge([...begin, close, ...an.departure(1)]), []);
  assert.deepEqual(
    judge([...begin, an.receive(2, 1, 3), close, ...an.departure(1)]),
    ["missing 2"],
  );
});

Deno.test("Checker lets a node that dies forget what its clients had published before they left", () => {
  const history = (node: number): HistoryEvent[] => [
    ...an.arrival(1, 0),
    ...an.arrival(2, 1),
    an.send(1, 1),
    ...an.departure(1),
    an.fault(1, "node-kill", node),
    { event: "healed", fault: 1 },
    settled,
    ...an.departure(2),
  ];
  assert.deepEqual(judge(history(0)), []);
  assert.deepEqual(judge(history(1)), ["missing 2"]);
});

Deno.test("Checker wants everything of who is there in the end, even right after an outage", () => {
  const history = (end: HistoryEvent[]): HistoryEvent[] => [
    ...an.arrival(1, 0),
    ...an.arrival(2, 1),
    an.fault(1, "bridge-reset", 0),
    an.send(1, 1),
    { event: "healed", fault: 1 },
    ...end,
  ];
  const [one, two] = [an.departure(1), an.departure(2)];
  assert.deepEqual(judge(history([settled, ...two, ...one])), ["missing 2"]);
  assert.deepEqual(judge(history([...one, settled, ...two])), []);
});

Deno.test("Checker lets who joined in an outage miss other nodes' messages until its end, and no longer", () => {
  const history = (
    { publisherNode, sendMs }: { publisherNode: number; sendMs: number },
  ): (HistoryEvent & { at?: number })[] => [
    ...an.arrival(1, publisherNode),
    an.fault(1, "broker-kill"),
    ...an.arrival(2, 0),
    { event: "healed", fault: 1, at: 1000 },
    { ...an.send(1, 1), at: sendMs },
    an.send(1, 2),
    an.receive(2, 1, 2),
    { ...settled, at: 200_000 },
    ...an.departure(1),
    ...an.departure(2),
  ];
  assert.deepEqual(judge(history({ publisherNode: 1, sendMs: 2000 })), []);
  assert.deepEqual(judge(history({ publisherNode: 1, sendMs: 100_000 })), [
    "missing 2",
  ]);
  assert.deepEqual(judge(history({ publisherNode: 0, sendMs: 2000 })), [
    "missing 2",
  ]);
});

Deno.test("Checker excuses an end only by a fault of that node and time", () => {
  const history = (
    { node, at }: { node: number; at: number },
  ): (HistoryEvent & { at?: number })[] => [
    ...an.arrival(1, 0),
    an.fault(1, "node-stop", node),
    { event: "healed", fault: 1 },
    { ...an.end(1, 1001, "service restart, retry=7"), at },
  ];
  assert.deepEqual(judge(history({ node: 0, at: 100 })), []);
  assert.deepEqual(judge(history({ node: 1, at: 100 })), ["close 1"]);
  assert.deepEqual(judge(history({ node: 0, at: 60_000 })), ["close 1"]);
});

Deno.test("Checker excuses nothing after a fault that is known to be over, and a gap by an outage of any node if it is to", () => {
  const history = (
    code: number,
    at: number,
  ): (HistoryEvent & { at?: number })[] => {
    const reason = code === 4001 ? "messages may have been lost" : "";
    return [
      ...an.arrival(1, 0),
      an.fault(1, code === 4001 ? "bridge-black-hole" : "node-kill", 1),
      an.fault(2, "node-kill", 0),
      { event: "healed", fault: 1, at: 1000 },
      { event: "healed", fault: 2, at: 1000 },
      { ...an.end(1, code, reason), at },
    ];
  };
  assert.deepEqual(judge(history(1006, 1001)), []);
  assert.deepEqual(judge(history(1006, 1001), { graceMs: 0 }), ["close 1"]);
  assert.deepEqual(judge(history(4001, 500)), ["close 1"]);
  const exact = { graceMs: 0, hasGaps: true };
  assert.deepEqual(judge(history(4001, 500), exact), []);
  assert.deepEqual(judge(history(4001, 1001), exact), ["close 1"]);
});

Deno.test("Checker excuses 4000 by a long stall only", () => {
  const history = (ms: number): HistoryEvent[] => [
    ...an.arrival(1),
    { event: "stall", connection: 1, ms },
    an.end(1, 4000, "reads too slowly"),
  ];
  assert.deepEqual(judge(history(10_000)), []);
  assert.deepEqual(judge(history(500)), ["close 1"]);
});

Deno.test("Checker excuses a refusal only by a fault, and none that isn't documented", () => {
  const refused = (status: number): HistoryEvent[] => [
    { event: "dial", connection: 1, channel: 1, door: 0 },
    { event: "refused", connection: 1, status, reason: "" },
  ];
  assert.deepEqual(judge([an.fault(1, "node-kill"), ...refused(502)]), []);
  assert.deepEqual(judge([an.fault(1, "node-kill"), ...refused(500)]), [
    "refused 1",
  ]);
  assert.deepEqual(judge(refused(502)), ["refused 1"]);
});

Deno.test("Checker wants every connection to end", () => {
  assert.deepEqual(judge(an.arrival(1)), ["unended 1"]);
});

/**
 * Makes a history of two nodes that work: each gives its clients what it gets
 * in one order, and passes on what they send, in order and after any time.
 */
function simulate(random: Random): HistoryEvent[] {
  interface Message {
    readonly publisher: number;
    readonly number: number;
    readonly named: boolean;
  }
  const events: HistoryEvent[] = [];
  const nodes = [0, 1].map(() => ({
    /** By client: what waits for it. */
    clients: new Map<number, Message[]>(),
    /** What waits for the other node. */
    link: [] as Message[],
  }));
  const sent = new Map<number, number>();
  let whisperer: number | undefined;
  let last = 0;
  type Node = typeof nodes[number];
  const fanOut = ({ clients }: Node, message: Message): void => {
    for (const [id, queue] of clients) {
      if (id !== message.publisher) queue.push(message);
    }
  };
  const pass = (from: Node): void => {
    const message = from.link.shift();
    if (message) fanOut(nodes[1 - nodes.indexOf(from)]!, message);
  };
  const deliver = (id: number, queue: Message[]): void => {
    const message = queue.shift();
    if (message === undefined) return;
    const { publisher, number, named } = message;
    events.push({
      ...an.receive(id, publisher, number),
      ...named ? {} : { publisher: 0, number: 0 },
    } as HistoryEvent);
  };
  const send = (node: Node, id: number, isLast = false): void => {
    const number = (sent.get(id) ?? 0) + 1;
    sent.set(id, number);
    if (random.chance(0.3)) whisperer ??= id;
    const named = isLast || whisperer !== id || random.chance(0.5);
    events.push({ ...an.send(id, number), named } as HistoryEvent);
    const message = { publisher: id, number, named };
    fanOut(node, message);
    node.link.push(message);
  };
  const steps: ((node: Node, id: number, queue: Message[]) => void)[] = [
    (node) => {
      if (node.clients.size > 4) return;
      node.clients.set(++last, []);
      events.push(...an.arrival(last, nodes.indexOf(node)));
    },
    (node, id) => send(node, id),
    (node, id) => send(node, id),
    (node) => pass(node),
    (_node, id, queue) => deliver(id, queue),
    (_node, id, queue) => deliver(id, queue),
    (node, id, queue) => {
      if (!random.chance(0.2)) return;
      if (random.chance(0.5)) events.push(...an.reset(id));
      else {
        send(node, id, true);
        const [leave, close] = an.departure(id);
        events.push(leave!);
        while (queue.length > 0) deliver(id, queue);
        events.push(close!);
      }
      node.clients.delete(id);
    },
  ];
  for (const node of nodes) steps[0]!(node, 0, []);
  for (let i = 0; i < 200; i++) {
    const node = random.pick(nodes);
    if (node.clients.size === 0) steps[0]!(node, 0, []);
    const [id, queue] = random.pick([...node.clients]);
    random.pick(steps)(node, id, queue);
  }
  for (const node of nodes) {
    for (const id of node.clients.keys()) send(node, id, true);
  }
  for (const node of nodes) while (node.link.length > 0) pass(node);
  for (const { clients } of nodes) {
    for (const [id, queue] of clients) {
      while (queue.length > 0) deliver(id, queue);
    }
  }
  events.push(settled);
  for (const { clients } of nodes) {
    for (const id of clients.keys()) events.push(...an.departure(id));
  }
  return events;
}

Deno.test("Checker finds nothing wrong with any history of nodes that work", () => {
  fc.assert(fc.property(fc.integer(), (seed) => {
    assert.deepEqual(judge(simulate(new Random(seed))), []);
  }));
});

Deno.test("Checker notices any one message that is missing, comes twice, or too early", () => {
  const change = fc.constantFrom("drop", "repeat", "advance");
  fc.assert(fc.property(fc.integer(), change, (seed, change) => {
    const random = new Random(seed);
    const events = simulate(random);
    // What was sent before the receiver was there need not come, and the last
    // ones of a pair may not have reached it before it left.
    const sent = new Map<number, number>();
    const floors = new Map<string, number>();
    const pairs = new Map<string, number[]>();
    for (const [i, event] of events.entries()) {
      if (event.event === "send") sent.set(event.connection, event.number);
      if (event.event === "open") {
        for (const [publisher, number] of sent) {
          floors.set(`${event.connection} ${publisher}`, number);
        }
      }
      if (event.event !== "receive" || event.publisher === 0) continue;
      const pair = `${event.connection} ${event.publisher}`;
      if (event.number <= (floors.get(pair) ?? 0)) continue;
      pairs.set(pair, [...pairs.get(pair) ?? [], i]);
    }
    const places = [...pairs.values()].flatMap((pair) => pair.slice(1, -1));
    fc.pre(places.length > 0);
    const at = random.pick(places);
    const event = events[at]! as HistoryEvent & { event: "receive" };
    const isOfPair = (other: HistoryEvent): boolean =>
      other.event === "receive" && other.connection === event.connection &&
      other.publisher === event.publisher;
    if (change === "drop") events.splice(at, 1);
    else if (change === "repeat") events.splice(at, 0, event);
    else {
      const before = events.findLastIndex((other, i) =>
        i < at && isOfPair(other)
      );
      events.splice(at, 1);
      events.splice(before, 0, event);
    }
    assert.notDeepEqual(judge(events), []);
  }));
});

Deno.test("Checker lets a bad network lose the answer to a close frame, and nothing else", () => {
  const leave = an.departure(1)[0]!;
  const lost = an.end(1, 1006);
  const delay = an.fault(1, "clients-delay");
  assert.deepEqual(judge([...an.arrival(1), delay, leave, lost]), []);
  assert.deepEqual(judge([...an.arrival(1), leave, lost]), ["close 1"]);
  assert.deepEqual(judge([...an.arrival(1), delay, lost]), ["close 1"]);
});

Deno.test("readDocumented() takes the closes and statuses from the tables", () => {
  const { closes, statuses } = readDocumented(protocol);
  assert.deepEqual([...closes.keys()].sort(), [
    1001,
    1002,
    1006,
    1007,
    1008,
    1009,
    1011,
    4000,
    4001,
  ]);
  assert.ok(closes.get(1001)!.test("service restart, retry=12"));
  assert.ok(closes.get(1001)!.test("no answer to a ping"));
  assert.ok(!closes.get(1001)!.test("service restart"));
  assert.ok(closes.get(1002)!.test("reserved bit set"));
  assert.ok(statuses.has(503) && statuses.has(429) && !statuses.has(500));
  assert.throws(() => readDocumented(""), /docs\/protocol\.md/);
});

Deno.test("readHistory() gets what History wrote, without a line that was cut off", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/history`;
  const events: Event[] = [];
  {
    using history = History.begin({
      path,
      seed: 7,
      onEvent: (event) => events.push(event),
    });
    const heal = history.fault("disk-full", 2);
    for (let i = 0; i < 5000; i++) history.add(an.send(1, i));
    heal();
  }
  await Deno.writeTextFile(path, '[12,"dial",1,', { append: true });
  const read = await Array.fromAsync(readHistory(path));
  assert.deepEqual(read, events.map((event) => parseEvent(formatEvent(event))));
  assert.equal(read.length, 5003);
});

Deno.test("check.ts tells the verdict on a file", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/history.jsonl`;
  const run = (): Promise<Outcome> =>
    runProgram(Deno.execPath(), [
      "run",
      "--allow-read",
      `${repository}/tests/chaos/check.ts`,
      path,
    ]);
  const lines = [...an.arrival(1), ...an.departure(1)].map((event) =>
    formatEvent({ ...event, timeMs: 0 }) + "\n"
  );
  await Deno.writeTextFile(path, lines.join(""));
  const good = await run();
  assert.equal(JSON.parse(good.stdout).connections, 1, good.stderr);
  assert.equal(good.code, 0);
  await Deno.writeTextFile(path, lines.slice(0, -1).join(""));
  const bad = await run();
  assert.equal(JSON.parse(bad.stdout).violations[0].kind, "unended");
  assert.equal(bad.code, 1);
});

Deno.test("Payloads carry their name at any size, and text is text", () => {
  const payloads = new Payloads(new Random(), 100_000);
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 1e9 }),
    fc.integer({ min: 1, max: 1e9 }),
    fc.integer({ min: 0, max: 100_000 }),
    fc.constantFrom("text", "binary"),
    (publisher, number, bytes, kind) => {
      const payload = payloads.named({ publisher, number, kind, bytes });
      assert.deepEqual(readName(payload), { publisher, number });
      if (bytes > 16) assert.equal(payload.length, bytes);
      const decoder = new TextDecoder("utf-8", { fatal: true });
      if (kind === "text") decoder.decode(payload);
      const unnamed = payloads.unnamed({ kind, bytes: bytes % 9 });
      assert.equal(readName(unnamed).publisher, 0);
    },
  ));
});
