import assert from "node:assert/strict";
import { notReady } from "../../src/admin/readiness.ts";
import { type Bridge, NoBridge } from "../../src/relay/bridge.ts";
import { StubBridge } from "../helpers/stub_bridge.ts";

Deno.test("notReady() names every reason there is", () => {
  const reasons = (isStopping: boolean, bridge: Bridge): string[] =>
    notReady({ isStopping, bridge }).map(({ reason }) => reason);
  const cut = new StubBridge({ connected: false });
  assert.deepEqual(reasons(false, new NoBridge()), []);
  assert.deepEqual(reasons(false, new StubBridge()), []);
  assert.deepEqual(reasons(false, cut), ["broker_unreachable"]);
  assert.deepEqual(reasons(true, new NoBridge()), ["stopping"]);
  assert.deepEqual(reasons(true, cut), ["stopping", "broker_unreachable"]);
  const message = "It is gone";
  const loss = { role: "socket", message, isFinal: false } as const;
  assert.deepEqual(
    notReady({ isStopping: false, bridge: new NoBridge(), losses: [loss] }),
    [{ reason: "socket_lost", message }],
  );
});
