/** Bridges against a real broker, without clients: what comes is written down. */
import { AmqpBridge, type AmqpBridgeOptions } from "../../src/amqp/bridge.ts";
import { RecordingListener, type TestNode } from "./bridge_contract.ts";
import { bridgeOptions } from "../../tools/bridge_options.ts";
import { eventually } from "../../tools/eventually.ts";

/** A node with a real bridge. Its disposal closes it. */
export interface BridgeNode extends TestNode, AsyncDisposable {
  readonly bridge: AmqpBridge;
}

/** Starts a node, whose start has to succeed, connected or not. */
export async function startBridgeNode(
  amqp: string,
  options: Partial<AmqpBridgeOptions> = {},
): Promise<BridgeNode> {
  const bridge = new AmqpBridge(bridgeOptions(amqp, options));
  const listener = new RecordingListener();
  const dispose = { [Symbol.asyncDispose]: () => bridge.close() };
  await using starting = new AsyncDisposableStack();
  starting.use(dispose);
  await bridge.start(listener);
  starting.move();
  return { bridge, listener, ...dispose };
}

/** Resolves when the bridge is connected, and a message through the broker comes back. */
export async function connected({ bridge }: BridgeNode): Promise<void> {
  await eventually(async () => {
    try {
      return await bridge.probe(5_000) >= 0;
    } catch {
      return false;
    }
  }, () => `the connection: ${JSON.stringify(bridge.state())}`);
}
