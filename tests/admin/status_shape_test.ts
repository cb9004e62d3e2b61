import assert from "node:assert/strict";
import { statusProblem } from "../../src/admin/status_shape.ts";
import { nodeStatus } from "../helpers/node_status.ts";

const bridge = {
  connected: true,
  broker: null,
  round_trip_ms: null,
  outbox_messages: 0,
  outbox_bytes: 0,
  messages_sent: 0,
  messages_received: 0,
  gaps: 0,
  connects: 1,
};

Deno.test("statusProblem() finds nothing wrong with a status, nor with what a newer node adds", () => {
  assert.equal(statusProblem(nodeStatus), undefined);
  assert.equal(statusProblem({ ...nodeStatus, bridge, more: "x" }), undefined);
});

Deno.test("statusProblem() names the first field that is wrong, and quotes none", () => {
  const evil = "\x1b]0;owned\x07";
  const cases: [answer: unknown, problem: string][] = [
    [null, "the answer is null, expected an object"],
    [[], "the answer is a list, expected an object"],
    ["x", "the answer is a text, expected an object"],
    [{}, '"version" is nothing, expected a text'],
    [
      { ...nodeStatus, pid: evil },
      '"pid" is a text, expected a number from 0 on',
    ],
    [
      { ...nodeStatus, clients: -1 },
      '"clients" is another number, expected a number from 0 on',
    ],
    [
      { ...nodeStatus, closes: { [evil]: evil } },
      '"closes" is a text, expected a number from 0 on',
    ],
    [{ ...nodeStatus, reasons: {} }, '"reasons" is an object, expected a list'],
    [
      { ...nodeStatus, reasons: [1] },
      '"reasons" is another number, expected an object',
    ],
    [
      { ...nodeStatus, ready: 1 },
      '"ready" is another number, expected true or false',
    ],
    [
      { ...nodeStatus, bridge: { ...bridge, broker: 1 } },
      '"broker" is another number, expected a text',
    ],
  ];
  for (const [answer, problem] of cases) {
    assert.equal(statusProblem(answer), problem);
  }
});

Deno.test("statusProblem() wants every field of a status", () => {
  for (const name of Object.keys(nodeStatus)) {
    const answer = { ...nodeStatus, [name]: undefined };
    assert.match(statusProblem(answer)!, new RegExp(`^"${name}" is nothing, `));
  }
});
