/** Bridges against a real broker, without clients: what comes is written down. */
import { AmqpBridge, type AmqpBridgeOptions } from "../../src/amqp/bridge.ts";
import { RecordingListener, type TestNode } from "../relay/bridge_contract.ts";
import { brokerUrl } from "./broker_url.ts";

/** A node with a real bridge. Its disposal closes it. */
export interface BridgeNode extends TestNode, AsyncDisposable {
  readonly bridge: AmqpBridge;
}

/** Gets the settings of a bridge to the broker at `amqp`, by default with room for 64 MiB and a heartbeat of 2 s. */
export function bridgeOptions(
  amqp: string,
  options: Partial<AmqpBridgeOptions> = {},
): AmqpBridgeOptions {
  const url = brokerUrl(amqp);
  return {
    amqp: url,
    exchange: "staps",
    hosts: [url],
    onOutage: "local",
    onGap: "close",
    outboxBytes: 2 ** 26,
    queueBytes: 2 ** 26,
    queueType: "auto",
    queueExpiresS: 60,
    heartbeatS: 2,
    joinTimeoutS: 5,
    ...options,
  };
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
