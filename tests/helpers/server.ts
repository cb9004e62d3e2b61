/** A server in the test's own process, and clients for it. */
import {
  listenerNamed,
  listeners,
  type ListenersOptions,
} from "../../src/node.ts";
import { NoBridge } from "../../src/relay/bridge.ts";
import type { HttpSettings } from "../../src/relay/http_settings.ts";
import type { Limits } from "../../src/relay/limits.ts";
import { Server, type ServerOptions } from "../../src/relay/server.ts";
import { TempFolder } from "../../tools/folder.ts";
import { testListener } from "./listener.ts";
import { handshakeBytes, RawClient } from "../../tools/raw_client.ts";
import { type Client, Clients } from "../../tools/ws_client.ts";

/** Limits for tests: small enough to hit, short enough to wait for. */
export const testLimits: Limits = {
  messageBytes: 1 << 20,
  clientBufferBytes: 8 << 20,
  brakeBytes: 1 << 20,
  slowAfterS: 10,
  closeTimeoutS: 1,
  handshakeTimeoutS: 10,
  messagesPerSecond: 0,
  idleTimeoutS: 30,
  clients: 1000,
  channelClients: 1000,
  channels: 1000,
  shutdownTimeoutS: 1,
  shutdownSpreadMs: 10_000,
  retryAfterS: 5,
};

/** The settings of `[http]`, as they are by default. */
export const testHttp: HttpSettings = {
  frontPage: "yes",
  origins: [],
  requestsPerSecond: 0,
  waitingRequests: 1000,
  waitingBytes: 64 << 20,
};

/** A running server in a folder of its own. */
export interface TestServer extends AsyncDisposable {
  readonly server: Server;
  readonly socket: string;
  /** Opens a client of the channel `path`, and waits until it is one. */
  connect(path: string, protocols?: string[]): Promise<Client>;
}

/** Starts a server on a socket in a temporary folder; disposal stops it. */
export async function startServer(
  { limits, http, socket, tcp, ...options }:
    & { limits?: Partial<Limits>; http?: Partial<HttpSettings> }
    & Partial<Pick<ListenersOptions, "socket" | "tcp">>
    & Partial<Omit<ServerOptions, "limits" | "http">> = {},
): Promise<TestServer> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await TempFolder.make());
  socket ??= `${folder.path}/s`;
  const listener = listenerNamed[testListener];
  const server = stack.use(
    await Server.start({
      listen: listeners(listener, { socket, mode: 0o600, tcp }),
      upgradeWebSocket: listener.upgradeWebSocket,
      bridge: new NoBridge(),
      ...options,
      limits: { ...testLimits, ...limits },
      http: { ...testHttp, ...http },
    }),
  );
  const clients = stack.use(new Clients(socket));
  const resources = stack.move();
  return {
    server,
    socket,
    connect: (path, protocols = []) => clients.join(path, { protocols }),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Opens a client of the channel `path` that reads nothing, not even the 101. */
export async function connectStalled(
  { socket }: TestServer,
  path: string,
): Promise<RawClient> {
  const client = await RawClient.connect({ socket });
  await client.write(handshakeBytes({ path }));
  return client;
}
