/** A bridge that does nothing but remember what it was asked for. */
import type { Bridge, BridgeListener, Posted } from "../../src/relay/bridge.ts";
import type { Message } from "../../src/relay/message.ts";
import { contentOf } from "./messages.ts";

/** A bridge that joins when the test says so. */
export class RecordingBridge implements Bridge {
  /** The calls, in order: `join /a`, `leave /a`, `publish /a hello`. */
  readonly calls: string[] = [];
  /** The node, once it has started the bridge. */
  listener: BridgeListener | undefined;
  /** What a join waits for; replace it to hold or refuse the next ones. */
  joining: Promise<void> = Promise.resolve();

  /** What becomes of posted messages. */
  posted: Posted = { isConfirmed: true, reachedOthers: false, isGone: true };

  start(listener: BridgeListener): Promise<void> {
    this.listener = listener;
    return Promise.resolve();
  }

  join(path: string): Promise<void> {
    this.calls.push(`join ${path}`);
    return this.joining;
  }

  leave(path: string): void {
    this.calls.push(`leave ${path}`);
  }

  publish(path: string, message: Message): void {
    this.calls.push(`publish ${path} ${contentOf(message)}`);
  }

  post(path: string, message: Message): Promise<Posted> {
    this.calls.push(`post ${path} ${contentOf(message)}`);
    return Promise.resolve(this.posted);
  }

  close(): Promise<void> {
    this.calls.push("close");
    return Promise.resolve();
  }
}
