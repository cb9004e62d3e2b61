/** The check of the load generator against another tool: Node `ws` clients under the same load. */
import { join } from "node:path";
import { Generator } from "./generator.ts";
import { cacheFolder, ensureNpmPackages } from "./install.ts";
import { startPeer } from "./measure.ts";
import type { PeerName } from "./peers.ts";
import { spent, threadTimes } from "./processes.ts";
import { ratio, type Spread } from "./statistics.ts";

/** What both tools found for one peer. */
export interface Comparison {
  peer: PeerName;
  clients: number;
  /** The server's CPU per delivery as the load generator sees it, divided by what the other sees. */
  generatorToOther: Spread;
  /** Deliveries that the other tool missed or got too often. */
  wrong: number;
}

/** Lets both tools publish in turn to channels of `clients` on one server. */
export async function compareTools(
  peer: PeerName,
  options: {
    generator: Generator;
    clients: number;
    rounds: number;
    seconds: number;
  },
): Promise<Comparison> {
  const { generator, clients, rounds, seconds } = options;
  await ensureNpmPackages();
  await using running = await startPeer(peer, generator);
  const pids = running.pids();
  const { addresses } = running;
  const ours: number[] = [];
  const others: number[] = [];
  let wrong = 0;
  const session = {
    id: "compare",
    channels: 1,
    clientsPerChannel: clients,
    bytes: 64,
    binary: true,
    echo: false,
  };
  await generator.tell("open", {
    ...session,
    protocol: "raw",
    addresses,
    pids,
  });
  // The first round warms both up.
  for (let round = 0; round <= rounds; round++) {
    const result = await generator.tell("run", {
      id: session.id,
      seconds,
      burst: 1,
      window: 1,
      isWarmUp: round === 0,
    });
    const other = await runOther((addresses[0] as { unix: string }).unix, {
      clients,
      seconds,
      pids,
    });
    wrong += Math.abs(other.sent * (clients - 1) - other.received);
    if (round === 0) continue;
    ours.push(result.serverNs / result.deliveries);
    others.push(other.serverNs / other.received);
  }
  await generator.tell("close", { id: session.id });
  return { peer, clients, generatorToOther: ratio(ours, others), wrong };
}

/** Runs the other tool once, and measures the server meanwhile. */
async function runOther(
  socket: string,
  options: { clients: number; seconds: number; pids: number[] },
): Promise<{ sent: number; received: number; serverNs: number }> {
  const { clients, seconds, pids } = options;
  const script = join(cacheFolder(), "second_tool.mjs");
  const path = `/${crypto.randomUUID()}`;
  const child = new Deno.Command("node", {
    args: [script, socket, path, String(clients), String(seconds)],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const line = async (): Promise<string> => {
    while (!text.includes("\n")) {
      const { value, done } = await output.read();
      if (done) {
        throw new Error("The second tool ended: its reason stands above");
      }
      text += value;
    }
    const end = text.indexOf("\n");
    const first = text.slice(0, end);
    text = text.slice(end + 1);
    return first;
  };
  await line();
  const before = threadTimes(pids);
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode("go\n"));
  const { sent, received } = JSON.parse(await line());
  const serverNs = spent(before, threadTimes(pids)).ns;
  await input.close().catch(() => {});
  await output.cancel();
  await child.status;
  return { sent, received, serverNs };
}
