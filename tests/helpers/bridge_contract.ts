/** What every bridge does, whatever it is made of. */
import assert from "node:assert/strict";
import { own, release } from "../../src/common/large_memory.ts";
import type { Bridge, BridgeListener } from "../../src/relay/bridge.ts";
import type { Message } from "../../src/relay/message.ts";
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

/** A bridge that was started, and what it tells. */
export interface TestNode {
  readonly bridge: Bridge;
  readonly listener: RecordingListener;
}

/** Publishes as a node does. */
export function publish(node: TestNode, path: string, content: Content): void {
  const message = messageOf(content);
  own(message.frame);
  node.bridge.publish(path, message);
  release(message.frame);
}

/** Registers the steps that every bridge passes; `node` must have been started. */
export async function testContract(
  t: Deno.TestContext,
  { bridge, listener }: TestNode,
): Promise<void> {
  const node = { bridge, listener };
  await t.step("join() resolves, again after leave() too", async () => {
    await bridge.join("/contract");
    bridge.leave("/contract");
    await bridge.join("/contract");
    bridge.leave("/contract");
  });

  await t.step("leave() of a channel that wasn't joined does nothing", () => {
    bridge.leave("/contract/never");
  });

  await t.step(
    "publish() gives this node nothing of its own back",
    async () => {
      await bridge.join("/contract/own");
      publish(node, "/contract/own", "text");
      publish(node, "/contract/own", "");
      publish(node, "/contract/own", new Uint8Array([0]));
      publish(node, "/contract/own", new Uint8Array(0));
      bridge.leave("/contract/own");
      // What came would come before the answer to another join.
      await bridge.join("/contract/other");
      bridge.leave("/contract/other");
      assert.deepEqual(listener.delivered, []);
      assert.deepEqual(listener.gaps, []);
    },
  );

  await t.step("close() resolves, the second time too", async () => {
    await bridge.join("/contract/open");
    await bridge.close();
    await bridge.close();
    bridge.leave("/contract/open");
  });
}
