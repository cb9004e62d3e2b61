/**
 * Closes a socket so that a client that is busy sending learns why.
 *
 * After `close()` the runtime drops a server's connection with the next message
 * or pong that comes, mostly before the close frame is written: a client that
 * sends all the time would never see a code (Deno 2.8.2,
 * `ext/websocket/01_websocket.js`). It doesn't do so with a client's socket, so
 * a closing one plays that part for a moment. A runtime without this switch
 * closes as it does.
 */
import type { Close } from "./close.ts";

/** For how long a closing client may go on sending until the next message ends it, in milliseconds. */
const lingerMs = 1000;

/** Values of the runtime's switch. */
const roles = { server: 0, client: 1 } as const;

let roleSymbol: symbol | undefined;

/** Sends a close frame behind what is queued for the client, and ignores what comes until its answer. */
export function closeAndLinger(
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
