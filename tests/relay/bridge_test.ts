import { NoBridge } from "../../src/relay/bridge.ts";
import { RecordingListener, testContract } from "./bridge_contract.ts";

Deno.test("NoBridge does what every bridge does", async (t) => {
  const bridge = new NoBridge();
  await bridge.start();
  await testContract(t, { bridge, listener: new RecordingListener() });
});
