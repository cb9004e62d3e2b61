import * as runtime from "../../src/listener/runtime.ts";
import { handshakeBytes } from "../../tools/raw_client.ts";
import {
  Recorder,
  testListener,
  TestServer,
} from "../helpers/listener_contract.ts";

testListener("the runtime's listener", runtime);

Deno.test({
  name: "the runtime's listener: a client that hangs up before its 101 is gone",
  // Deno 2.9.6 never closes its connection, and never ends shutdown().
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const recorder = new Recorder();
    const { promise: handled, resolve } = Promise.withResolvers<void>();
    const { promise: goOn, resolve: letGo } = Promise.withResolvers<void>();
    const server = await TestServer.start(runtime, async (request) => {
      resolve();
      await goOn;
      return recorder.upgrade(runtime, request);
    });
    const client = await server.send(handshakeBytes());
    await handled;
    client.close();
    await new Promise((resolve) => setTimeout(resolve, 100));
    letGo();
    await recorder.saw("closed undefined");
    void server.server.shutdown();
  },
});
