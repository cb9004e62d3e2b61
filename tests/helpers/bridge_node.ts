/** Bridges against a real broker, without clients: what comes is written down. */
import { AmqpBridge, type AmqpBridgeOptions } from "../../src/amqp/bridge.ts";
import { RecordingListener, type TestNode } from "./bridge_contract.ts";
import { bridgeOptions } from "../../tools/bridge_options.ts";

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
