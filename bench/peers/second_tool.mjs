// The same load as the load generator's, made by Node `ws` clients, so that
// each can be checked against the other. Prints JSON: what was sent and received.
import process from "node:process";
import { WebSocket } from "ws";

const { socket, path, clients, seconds, listenOnly } = JSON.parse(
  process.argv[2],
);
const url = `ws+unix://${socket}:${path}`;
const all = await Promise.all(
  Array.from({ length: clients }, () =>
    new Promise((resolve, reject) => {
      const client = new WebSocket(url, { perMessageDeflate: false });
      client.once("open", () => resolve(client));
      client.once("error", reject);
    })),
);
let received = 0;
let sent = 0;
let waiting = 0;
let done;
for (const client of all) {
  client.on("message", () => {
    received++;
    if (--waiting === 0) done?.();
  });
}
process.stdout.write("joined\n");
const payload = Buffer.alloc(64, "A");
if (listenOnly) {
  await new Promise((resolve) => process.stdin.once("data", resolve));
} else {
  await new Promise((resolve) => process.stdin.once("data", resolve));
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    waiting = clients - 1;
    sent++;
    const turn = new Promise((resolve) => done = resolve);
    all[0].send(payload);
    await turn;
  }
}
process.stdout.write(
  JSON.stringify({ sent, received }) + "\n",
  () => process.exit(0),
);
