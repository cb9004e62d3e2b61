/** Both listeners, each on a unix socket in this process, with the same handler that keeps what it is told. */
import assert from "node:assert/strict";
import * as own from "../../src/listener/serve.ts";
import * as runtime from "../../src/listener/runtime.ts";
import type { Listener } from "../../src/listener/http.ts";
import { readHandshake } from "../../src/relay/handshake.ts";
import { within } from "../../tools/eventually.ts";
import {
  type Frame,
  frameBytes,
  opcodes,
  type RawClient,
  readClose,
} from "../../tools/raw_client.ts";
import { Recorder, TestServer } from "../helpers/listener_contract.ts";
import { write } from "./wire.ts";

/** The largest message. */
export const maxBytes = 4096;

const limits = { messageBytes: maxBytes, idleTimeoutS: 600, closeTimeoutS: 5 };

/** What became of some bytes. */
export interface Outcome {
  /** Messages that the handler got: `text 6162`. */
  readonly messages: readonly string[];
  /** What came back: `pong 6162`, `close 1000`. */
  readonly frames: readonly string[];
  /** What the handler was told at the end; "open" if it wasn't. */
  readonly closed: number | undefined | "open";
}

/** Sends a handshake to one of the listeners; gets the connection, or with which status it was refused. */
export type Join = (
  handshake: (path: string) => Uint8Array,
) => Promise<RecordedConnection | number>;

/** Starts a listener; gets what handlers threw, too. */
async function start(
  listener: Listener,
  stack: AsyncDisposableStack,
): Promise<{ join: Join; errors: readonly unknown[] }> {
  const recorders = new Map<string, Recorder>();
  const server = await TestServer.start(listener, (request) => {
    const handshake = readHandshake(request);
    if ("status" in handshake) return new Response(null, handshake);
    const handler = new Recorder();
    recorders.set(handshake.path, handler);
    return listener.upgradeWebSocket(request, { limits, handler }).response;
  }, { bodyBytes: () => 0, maxOverloaded: 0 });
  stack.use(server);
  let count = 0;
  const join: Join = async (handshake) => {
    const path = `/${++count}`;
    const client = await server.send(handshake(path));
    let { status } = await client.readResponse({ toHead: true });
    // It says only that the body may come.
    if (status === 100) ({ status } = await client.readResponse());
    const recorder = recorders.get(path);
    recorders.delete(path);
    if (status === 101) return new RecordedConnection(client, recorder!);
    client.close();
    return status;
  };
  return { join, errors: server.errors };
}

/** A WebSocket at one of the listeners. */
export class RecordedConnection {
  readonly #client: RawClient;
  readonly #recorder: Recorder;
  #fences = 0;

  constructor(client: RawClient, recorder: Recorder) {
    this.#client = client;
    this.#recorder = recorder;
  }

  /**
   * Sends bytes, and gets what becomes of them.
   *
   * @param options.cuts After how many bytes the next write begins.
   * @param options.then What comes behind them: more, for they end behind a
   * frame, and nothing is wrong with them; the end of the client's side; or
   * nothing, for the listener has to end it.
   */
  async send(
    bytes: Uint8Array,
    { cuts, then }: {
      cuts: readonly number[];
      then: "more" | "end" | "nothing";
    },
  ): Promise<Outcome> {
    await write(this.#client, bytes, cuts);
    if (then === "more") {
      const frames = await this.#readUpToFence();
      return { messages: this.#takeMessages(), frames, closed: "open" };
    }
    if (then === "end") await this.#client.closeWrite().catch(() => {});
    const frames = (await this.#client.readToEnd()).map(shown);
    const closed = await within(this.#recorder.ended, "the handler's end");
    this.close();
    return { messages: this.#takeMessages(), frames, closed };
  }

  #takeMessages(): string[] {
    return this.#recorder.messages.splice(0).map(({ isText, payload }) =>
      `${isText ? "text" : "binary"} ${payload.toHex()}`
    );
  }

  close(): void {
    this.#client.close();
  }

  /** Gets the frames that came before the pong to a ping of now. */
  async #readUpToFence(): Promise<string[]> {
    const fence = new TextEncoder().encode(`fence ${++this.#fences}`);
    await write(this.#client, frameBytes(opcodes.ping, fence), []);
    const frames: string[] = [];
    while (true) {
      const frame = await this.#client.readFrame();
      if (frame === undefined) return [...frames, "end"];
      const text = shown(frame);
      if (text === `pong ${fence.toHex()}`) return frames;
      frames.push(text);
    }
  }
}

function shown({ opcode, payload }: Frame): string {
  if (opcode === opcodes.pong) return `pong ${payload.toHex()}`;
  return opcode === opcodes.close
    ? `close ${readClose(payload).code}`
    : `opcode ${opcode}`;
}

/** Starts both of them: the own one, and the runtime's. */
export async function startPair(
  stack: AsyncDisposableStack,
): Promise<readonly Join[]> {
  const ours = await start(own, stack);
  // The runtime's has requests that no Request can be made of.
  stack.defer(() => assert.deepEqual(ours.errors, []));
  const runtimes = await start(runtime, stack);
  return [ours.join, runtimes.join];
}
