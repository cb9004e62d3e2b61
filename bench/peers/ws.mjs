// A relay on Node with `ws`.
import { createServer } from "node:http";
import process from "node:process";
import { WebSocketServer } from "ws";

const channels = new Map();
const server = createServer();
new WebSocketServer({ server }).on("connection", (socket, request) => {
  const path = request.url;
  if (!channels.has(path)) channels.set(path, new Set());
  const members = channels.get(path);
  members.add(socket);
  socket.on("message", (data, binary) => {
    for (const other of members) {
      if (other !== socket) other.send(data, { binary });
    }
  });
  socket.on("close", () => {
    members.delete(socket);
    if (members.size === 0 && channels.get(path) === members) {
      channels.delete(path);
    }
  });
  socket.on("error", () => {});
});
server.listen({ path: process.argv[2], backlog: 4096 });
