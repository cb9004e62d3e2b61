import assert from "node:assert/strict";
import { statusProblem } from "../../src/admin/status_shape.ts";
import { bridgeStatus, nodeStatus } from "../helpers/node_status.ts";

Deno.test("statusProblem() finds nothing wrong with a status, nor with what a newer node adds", () => {
  assert.equal(statusProblem(nodeStatus), undefined);
  const newer = { ...nodeStatus, bridge: bridgeStatus, more: "x" };
  assert.equal(statusProblem(newer), undefined);
});

Deno.test("statusProblem() names the first field that is wrong, and quotes none", () => {
  const answers = { "null": null, "a list": [], "a text": "x" };
  for (const [found, answer] of Object.entries(answers)) {
    assert.equal(
      statusProblem(answer),
      `the answer is ${found}, expected an object`,
    );
  }
  const evil = "\x1b]0;owned\x07";
  const bridge = { ...bridgeStatus, broker: 1 };
  const cases: [change: object, problem: string, expected: string][] = [
    [{ version: undefined }, '"version" is nothing', "a text"],
    [{ pid: evil }, '"pid" is a text', "a number from 0 on"],
    [{ clients: -1 }, '"clients" is another number', "a number from 0 on"],
    [{ closes: { [evil]: evil } }, '"closes" is a text', "a number from 0 on"],
    [{ reasons: {} }, '"reasons" is an object', "a list"],
    [{ reasons: [1] }, '"reasons" is another number', "an object"],
    [{ ready: 1 }, '"ready" is another number', "true or false"],
    [{ bridge }, '"broker" is another number', "a text"],
  ];
  for (const [change, problem, expected] of cases) {
    assert.equal(
      statusProblem({ ...nodeStatus, ...change }),
      `${problem}, expected ${expected}`,
    );
  }
  for (const name of Object.keys(nodeStatus)) {
    const answer = { ...nodeStatus, [name]: undefined };
    assert.match(statusProblem(answer)!, new RegExp(`^"${name}" is nothing, `));
  }
});
