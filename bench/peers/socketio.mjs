// A relay on Socket.IO: a channel is a room.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import process from "node:process";

// Not in the import map: staps itself has nothing to do with it.
const { Server } = createRequire(import.meta.url)("socket.io");

const server = createServer();
new Server(server, { transports: ["websocket"] }).on("connection", (socket) => {
  const { channel } = socket.handshake.query;
  socket.join(channel);
  socket.on("m", (message) => socket.to(channel).emit("m", message));
});
server.listen({ path: process.argv[2], backlog: 4096 });
