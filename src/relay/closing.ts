/**
 * Closing a socket so that a busy client learns why.
 *
 * After `close()` the runtime drops a server's connection with the next message
 * or pong that comes, mostly before the close frame is written: a client that
 * sends all the time would never see a code (Deno 2.8.2,
 * `ext/websocket/01_websocket.js`). It leaves that to clients' sockets, whose
 * part a closing one plays here for a moment. A runtime that has no such switch
 * closes as it does.
 */
import type { Close } from "./close.ts";

/** For how long a closing client may go on sending until the next message ends it, in milliseconds. */
const lingerMs = 1000;

/** Values of the runtime's switch. */
const roles = { server: 0, client: 1 } as const;

let roleSymbol: symbol | undefined;

/** Sends a close frame behind what waits for the client, and ignores what comes until its answer. */
export function closeSocket(
  socket: WebSocket,
  { code, reason }: Close,
): void {
  socket.close(code, reason);
  roleSymbol ??= Object.getOwnPropertySymbols(socket)
    .find(({ description }) => description === "[[role]]");
  if (roleSymbol === undefined) return;
  const switches = socket as unknown as Record<symbol, number>;
  const role = roleSymbol;
  switches[role] = roles.client;
  const timer = setTimeout(() => switches[role] = roles.server, lingerMs);
  socket.addEventListener("close", () => clearTimeout(timer));
}
