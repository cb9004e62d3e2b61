/** What the matrix adds to chaos' checker, which has tests of its own. */
import assert from "node:assert/strict";
import type { HistoryEvent } from "../chaos/history.ts";
import { repository } from "../../tools/process.ts";
import { CellChecker, type Verdict } from "./checker.ts";

const protocol = await Deno.readTextFile(`${repository}/docs/protocol.md`);

const message = { kind: "text", bytes: 9, digest: 0 } as const;

function opens(connection: number, node: number): HistoryEvent[] {
  return [
    { event: "dial", connection, channel: 1, door: node },
    { event: "open", connection, node },
  ];
}

/** The connection 1, on node 0, sends this number. */
function sends(number: number): HistoryEvent {
  return { event: "send", connection: 1, number, named: true, ...message };
}

function gets(connection: number, ...numbers: number[]): HistoryEvent[] {
  return numbers.map((number) => ({
    ...{ event: "receive", connection, publisher: 1, number },
    ...message,
  }));
}

function leaves(connection: number): HistoryEvent[] {
  return [
    { event: "leave", connection, how: "close", code: 1000 },
    { event: "close", connection, by: "client", code: 1000, reason: "" },
  ];
}

const told: HistoryEvent = {
  ...{ event: "close", connection: 2, by: "server", code: 4001 },
  reason: "messages may have been lost",
};

const fault: HistoryEvent = {
  ...{ event: "fault", fault: 1, kind: "broker-lost", node: -1 },
};

/** Gets the verdict on events that are a second apart, on classic queues. */
function judge(
  events: readonly HistoryEvent[],
  ...lostQueues: number[]
): Verdict {
  const checker = new CellChecker("classic", { protocol });
  for (const [i, event] of events.entries()) {
    checker.take({ ...event, timeMs: i * 1000 });
  }
  return checker.finish(new Set(lostQueues));
}

const begin = [...opens(1, 0), ...opens(2, 1), sends(1), sends(2)];

Deno.test("CellChecker counts deliveries from other nodes, and the silence between them", () => {
  const { messages, deliveries, lost, wrong, closed, silenceMs } = judge([
    ...[...begin, ...opens(3, 0), ...gets(2, 1), fault, ...opens(4, 0)],
    ...[...gets(2, 2), ...[1, 2, 3, 4].flatMap(leaves)],
  ]);
  assert.deepEqual({ messages, deliveries, lost, wrong, closed, silenceMs }, {
    ...{ messages: 2, deliveries: 2, lost: 0, wrong: 0, closed: {} },
    silenceMs: 4000,
  });
});

Deno.test("CellChecker tells what is lost from what is otherwise wrong", () => {
  const { lost, losses, wrong } = judge([
    ...[...begin, sends(3), ...gets(2, 1, 3, 3), ...leaves(1), ...leaves(2)],
  ]);
  assert.deepEqual([lost, wrong], [1, 1]);
  assert.match(losses[0]!, /connection 2: Expected 2 of 1, got none/);
});

Deno.test("CellChecker tells whether a client was closed for nothing", () => {
  const late = gets(2, 1);
  const all = gets(2, 1, 2);
  const cases: [HistoryEvent[], number[], [inVain: number, wrongly: number]][] =
    [
      [[...all, told, ...opens(3, 1)], [], [1, 1]],
      // What was in a lost queue can't be known.
      [[...all, told, ...opens(3, 1)], [1], [1, 0]],
      // It was only late.
      [[...late, told, ...opens(3, 1), ...gets(3, 2)], [], [1, 1]],
      [[...late, told, ...opens(3, 1)], [], [0, 0]],
    ];
  for (const [events, lostQueues, expected] of cases) {
    const verdict = judge(
      [...begin, fault, ...events, ...leaves(1), ...leaves(3)],
      ...lostQueues,
    );
    const { closed, closedInVain, closedWrongly } = verdict;
    assert.deepEqual(closed, { 4001: 1 });
    assert.deepEqual([closedInVain, closedWrongly], expected);
  }
});
