/** Bridges against a real broker, without clients: what comes is written down. */
import { AmqpBridge, type AmqpBridgeOptions } from "../../src/amqp/bridge.ts";
import { own, release } from "../../src/common/large_memory.ts";
import type { BridgeListener } from "../../src/relay/bridge.ts";
import type { Message } from "../../src/relay/message.ts";
import { bridgeOptions } from "../../tools/bridge_options.ts";
import { eventually } from "../../tools/eventually.ts";
import { type Content, contentOf, messageOf } from "./messages.ts";

/** A node that remembers what its bridge tells it. */
export class RecordingListener implements BridgeListener {
  /** Messages, in order. */
  readonly delivered: { path: string; content: Content }[] = [];
  /** Paths of channels whose clients would be told, in order. */
  readonly gaps: string[] = [];

  deliver(path: string, message: Message): void {
    this.delivered.push({ path, content: contentOf(message) });
  }

  gap(paths: Iterable<string> | "all"): void {
    if (paths === "all") this.gaps.push("all");
    else this.gaps.push(...paths);
  }

  congested(): void {}

  openCount(): number {
    return 1;
  }

  /** The messages that came in the channel `path`. */
  messages(path: string): Content[] {
    return this.delivered.filter((one) => one.path === path)
      .map(({ content }) => content);
  }

  /** Resolves with the messages in the channel `path`, as soon as there are `count`. */
  async got(path: string, count: number): Promise<Content[]> {
    await eventually(
      () => this.messages(path).length >= count,
      () => `${count} messages, got ${this.messages(path).length}`,
    );
    return this.messages(path);
  }
}

/** A node with a real bridge. Its disposal closes it. */
export interface BridgeNode extends AsyncDisposable {
  readonly bridge: AmqpBridge;
  readonly listener: RecordingListener;
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

/** Publishes as a node does. */
export function publish(
  { bridge }: BridgeNode,
  path: string,
  content: Content,
): void {
  const message = messageOf(content);
  own(message.frame);
  bridge.publish(path, message);
  release(message.frame);
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
