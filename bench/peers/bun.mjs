// A relay on Bun, whose server is uWebSockets with its own publish/subscribe.
/* global Bun */
import process from "node:process";

Bun.serve({
  unix: process.argv[2],
  fetch: (request, server) =>
    server.upgrade(request, { data: new URL(request.url).pathname })
      ? undefined
      : new Response(null, { status: 426 }),
  websocket: {
    open: (socket) => socket.subscribe(socket.data),
    // `publish` of a socket skips the socket itself.
    message: (socket, message) => socket.publish(socket.data, message),
  },
});
