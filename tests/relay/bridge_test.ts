import assert from "node:assert/strict";
import {
  type BridgeState,
  brokerProblem,
  NoBridge,
} from "../../src/relay/bridge.ts";
import { StubBridge } from "../helpers/stub_bridge.ts";
import { RecordingListener, testContract } from "../helpers/bridge_contract.ts";

Deno.test("NoBridge does what every bridge does", async (t) => {
  const bridge = new NoBridge();
  await bridge.start();
  await testContract(t, { bridge, listener: new RecordingListener() });
});

Deno.test("brokerProblem() names the cause, not what follows from it", () => {
  const problem = (state: Partial<BridgeState>): unknown =>
    brokerProblem(new StubBridge(state).state());
  assert.equal(problem({}), undefined);
  // Neither a broker that is away nor a blocked one returns messages.
  const roundTripMs = undefined;
  const unreachable = { connected: false, blocked: "no disk", roundTripMs };
  assert.deepEqual(problem({ ...unreachable, problem: "refused" }), {
    reason: "broker_unreachable",
    message: "The broker can't be reached: refused",
  });
  assert.deepEqual(problem(unreachable), {
    reason: "broker_unreachable",
    message: "The broker can't be reached",
  });
  assert.deepEqual(problem({ blocked: "low on memory", roundTripMs }), {
    reason: "broker_blocked",
    message: "The broker takes no messages: low on memory",
  });
  assert.deepEqual(problem({ roundTripMs }), {
    reason: "broker_silent",
    message: "The broker is connected, but returns no message",
  });
  const isCutOff = true;
  assert.deepEqual(
    problem({ roundTripMs, isCutOff }),
    problem({ roundTripMs }),
  );
  assert.deepEqual(problem({ isCutOff }), {
    reason: "broker_split",
    message:
      "None of 2 other nodes is heard, and this broker can't reach their queues: " +
      "likely its cluster is split",
  });
});
