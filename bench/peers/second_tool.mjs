// The load generator's fan-out again, made by Node `ws` clients, so that each
// tool can be checked against the other. Prints what was sent and received.
import process from "node:process";
import { WebSocket } from "ws";

const [socket, path, clients, seconds] = process.argv.slice(2);
const all = await Promise.all(
  Array.from(
    { length: Number(clients) },
    () =>
      new Promise((resolve, reject) => {
        const client = new WebSocket(`ws+unix://${socket}:${path}`, {
          perMessageDeflate: false,
        });
        client.once("open", () => resolve(client));
        client.once("error", reject);
      }),
  ),
);
let received = 0;
let missing = 0;
let turnEnds;
for (const client of all) {
  client.on("message", () => {
    received++;
    if (--missing === 0) turnEnds?.();
  });
}
process.stdout.write("joined\n");
// Whoever started this says when to begin.
await new Promise((resolve) => process.stdin.once("data", resolve));
const payload = Buffer.alloc(64, "A");
const end = performance.now() + Number(seconds) * 1000;
let sent = 0;
while (performance.now() < end) {
  missing = all.length - 1;
  const turn = new Promise((resolve) => turnEnds = resolve);
  all[0].send(payload);
  sent++;
  await turn;
}
// Nor sees the generator more than it ought to.
await new Promise((resolve) => setTimeout(resolve, 200));
process.stdout.write(JSON.stringify({ sent, received }) + "\n");
process.stdin.unref();
for (const client of all) client.terminate();
