import assert from "node:assert/strict";
import { type BridgeState, brokerProblem } from "../../src/relay/bridge.ts";
import { StubBridge } from "../helpers/stub_bridge.ts";

Deno.test("brokerProblem() names the cause, not what follows from it", () => {
  // Neither a broker that is away nor a blocked one returns messages.
  const roundTripMs = undefined;
  const unreachable = { connected: false, blocked: "no disk", roundTripMs };
  const silent = "The broker is connected, but returns no message";
  const split =
    "None of 2 other nodes is heard, and this broker can't reach their queues: " +
    "likely its cluster is split";
  const cases: [Partial<BridgeState>, reason: string, message: string][] = [
    [
      { ...unreachable, problem: "refused" },
      "broker_unreachable",
      "The broker can't be reached: refused",
    ],
    [unreachable, "broker_unreachable", "The broker can't be reached"],
    [
      { blocked: "low on memory", roundTripMs },
      "broker_blocked",
      "The broker takes no messages: low on memory",
    ],
    [{ roundTripMs }, "broker_silent", silent],
    [{ roundTripMs, isCutOff: true }, "broker_silent", silent],
    [{ isCutOff: true }, "broker_split", split],
  ];
  assert.equal(brokerProblem(new StubBridge().state()), undefined);
  for (const [state, reason, message] of cases) {
    const problem = brokerProblem(new StubBridge(state).state());
    assert.deepEqual(problem, { reason, message });
  }
});
