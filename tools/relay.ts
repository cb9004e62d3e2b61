// What one writes in 20 lines: the yardstick for what staps adds.
const path = Deno.args.at(-1);
const channels = new Map<string, Set<WebSocket>>();

Deno.serve({ path: path!, onListen: () => {} }, (request) => {
  const { pathname } = new URL(request.url);
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    if (!channels.has(pathname)) channels.set(pathname, new Set());
    channels.get(pathname)!.add(socket);
  };
  socket.onmessage = ({ data }) => {
    for (const other of channels.get(pathname)!) {
      if (other !== socket) other.send(data);
    }
  };
  socket.onclose = () => {
    channels.get(pathname)?.delete(socket);
    if (channels.get(pathname)?.size === 0) channels.delete(pathname);
  };
  return response;
});
