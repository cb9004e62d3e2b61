/**
 * What staps's own code costs for each delivery, without runtime and kernel:
 * its clients and channels over sockets that do nothing.
 */
import { NoBridge } from "../src/relay/bridge.ts";
import { Channels } from "../src/relay/channels.ts";
import { Client, type ClientOptions } from "../src/relay/client.ts";
import type { Limits } from "../src/relay/limits.ts";
import { makeMessage } from "../src/relay/message.ts";
import { Metrics } from "../src/relay/metrics.ts";
import type { Socket, SocketState } from "../src/listener/socket.ts";

/** The same work done by staps and by the least code that could do it, in nanoseconds for each delivery. */
export interface OwnCode {
  clients: number;
  stapsNs: number;
  /** A loop over a `Set` that leaves the sender out. */
  loopNs: number;
}

/** A socket that takes everything at once. */
class FastSocket implements Socket {
  readonly state: SocketState = "open";
  readonly canWait = true;
  readonly queuedBytes = 0;
  sent = 0;

  send(_frames: Uint8Array): void {
    this.sent++;
  }

  close(): void {}

  resume(): void {}

  tellBelow(): void {}
}

/** Measures this with one channel of `clients`. */
export async function measureOwnCode(clients: number): Promise<OwnCode> {
  const metrics = new Metrics();
  const limits: Limits = {
    messageBytes: 1 << 20,
    clientBufferBytes: 8 << 20,
    brakeBytes: 1 << 20,
    slowAfterS: 10,
    clients: 10_000,
    channelClients: 10_000,
    channels: 10_000,
    messagesPerSecond: 0,
    idleTimeoutS: 30,
    closeTimeoutS: 5,
    handshakeTimeoutS: 10,
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
  const { channels } = options;
  const sockets: FastSocket[] = [];
  let sender: Client | undefined;
  for (let i = 0; i < clients; i++) {
    const client = new Client(options);
    await client.join("/");
    const socket = new FastSocket();
    client.attach(socket);
    client.opened();
    sockets.push(socket);
    sender ??= client;
  }
  const message = makeMessage(new Uint8Array(64), { isText: false });
  const { frame } = message;
  const all = new Set(sockets);
  const own = sockets[0];
  const staps = (): void => {
    sender!.message(message);
    channels.endTurns();
  };
  const loop = (): void => {
    for (const other of all) if (other !== own) other.send(frame);
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
