/**
 * What staps's own code costs for each delivery, without runtime and kernel:
 * its clients and channels over sockets that do nothing.
 */
import { NoBridge } from "../src/relay/bridge.ts";
import { Channels } from "../src/relay/channels.ts";
import { Client, type ClientOptions } from "../src/relay/client.ts";
import type { Limits } from "../src/relay/limits.ts";
import { Metrics } from "../src/relay/metrics.ts";

/** The same work done by staps and by the least code that could do it, in nanoseconds for each delivery. */
export interface OwnCode {
  clients: number;
  stapsNs: number;
  /** A loop over a `Set` that leaves the sender out. */
  loopNs: number;
}

/** What staps uses of a `WebSocket`. */
class Socket extends EventTarget {
  binaryType = "";
  bufferedAmount = 0;
  sent = 0;

  send(_message: unknown): void {
    this.sent++;
  }

  close(): void {}
}

/** Measures this with one channel of `clients`. */
export async function measureOwnCode(clients: number): Promise<OwnCode> {
  const metrics = new Metrics();
  const limits: Limits = {
    messageBytes: 1 << 20,
    clientBufferBytes: 8 << 20,
    clients: 10_000,
    channelClients: 10_000,
    channels: 10_000,
    messagesPerSecond: 0,
    idleTimeoutS: 30,
    shutdownTimeoutS: 5,
    shutdownSpreadMs: 10_000,
    retryAfterS: 5,
  };
  const options: ClientOptions = {
    channels: new Channels({ bridge: new NoBridge(), metrics, limits }),
    metrics,
    limits,
    onReleased: () => {},
  };
  const sockets: Socket[] = [];
  let sender: Client | undefined;
  for (let i = 0; i < clients; i++) {
    const client = new Client(options);
    await client.join("/");
    const socket = new Socket();
    client.attach(socket as unknown as WebSocket);
    socket.dispatchEvent(new Event("open"));
    sockets.push(socket);
    sender ??= client;
  }
  const data = new ArrayBuffer(64);
  const event = new MessageEvent("message", { data });
  const all = new Set(sockets);
  const own = sockets[0];
  const staps = (): void => sender!.handleEvent(event);
  const loop = (): void => {
    for (const other of all) if (other !== own) other.send(data);
  };
  const stapsNs: number[] = [];
  const loopNs: number[] = [];
  // The first rounds are for the compiler.
  for (let round = 0; round < 9; round++) {
    const [a, b] = [time(staps), time(loop)];
    if (round < 2) continue;
    stapsNs.push(a / (clients - 1));
    loopNs.push(b / (clients - 1));
  }
  return {
    clients,
    // What else the machine does makes it slower, never faster.
    stapsNs: Math.min(...stapsNs),
    loopNs: Math.min(...loopNs),
  };
}

/** Gets how long `work` takes, in nanoseconds. */
function time(work: () => void): number {
  const times = 2000;
  const start = performance.now();
  for (let i = 0; i < times; i++) work();
  return (performance.now() - start) / times * 1e6;
}
