/** What is left behind when all clients have gone: on the nodes, and on the broker. */
import { eventually } from "../../tools/eventually.ts";
import { runProgram } from "../../tools/process.ts";
import type { Cluster } from "./cluster.ts";
import { type Node, queueExpiresS } from "./node.ts";

/** A channel's path, as every client here has it: no log may tell it. */
const secretPath = "/[0-9a-f]{8}-[0-9a-f]{4}-";

/** What may be left of memory after everybody has left, beside what there was after the warm-up. */
const extraBytes = 256 * 1024 * 1024;

/** Descriptors that come and go by themselves: a connection that is being renewed, a file being read. */
const extraDescriptors = 4;

const timeoutMs = 30_000;
/** How long it takes until the queue of a node that was killed has expired. */
const queueTimeoutMs = queueExpiresS * 1000 + timeoutMs;

/**
 * Ends the nodes of `cluster`, and gets what was left behind by clients that
 * have all gone, and by the nodes.
 */
export async function leftovers(cluster: Cluster): Promise<string[]> {
  const problems: string[] = [];
  /** Waits until `look` gets nothing that isn't as it should be. */
  const expect = async (
    what: string,
    look: () => Promise<string | undefined>,
    waitMs = timeoutMs,
  ): Promise<void> => {
    let got: string | undefined;
    await eventually(
      async () => {
        // A question that a busy broker doesn't answer is asked again.
        got = await look().catch((error) => (error as Error).message);
        return got === undefined;
      },
      () => `${what}, got ${got}`,
      { timeoutMs: waitMs },
    ).catch(({ message }) => problems.push(message));
  };
  for (const node of cluster.nodes) {
    await expect(`nothing of clients on ${node.name}`, () => clientsOf(node));
    await expect(
      `${node.name} to close what it opened, and to give memory back`,
      () => excessOf(node),
    );
  }
  // Nodes that were killed leave queues, which expire; clients that left leave no bindings.
  const queues = async (count: number): Promise<string | undefined> => {
    const names = await queuesOf(cluster);
    return names.length === count ? undefined : names.join(", ");
  };
  await expect(
    "the end of the channels' bindings",
    () => bindingsOf(cluster),
    queueTimeoutMs,
  );
  await expect(
    "one queue for each node",
    () => queues(cluster.nodes.length),
    queueTimeoutMs,
  );
  for (const node of cluster.nodes) problems.push(...await end(node));
  await expect("the end of the queues", () => queues(0), queueTimeoutMs);
  return problems;
}

/** Gets what a node has of clients. */
async function clientsOf(node: Node): Promise<string | undefined> {
  const { clients, channels, buffered_bytes } = await node.status();
  if (clients + channels + buffered_bytes === 0) return undefined;
  return JSON.stringify({ clients, channels, buffered_bytes });
}

/** Gets what a node holds, if that is more than when it was idle, and warm. */
async function excessOf(node: Node): Promise<string | undefined> {
  const now = await node.holdings();
  const idle = node.idle!;
  const { residentBytes } = node.warm ?? idle;
  const isGood = now.descriptors <= idle.descriptors + extraDescriptors &&
    now.sockets <= idle.sockets + extraDescriptors &&
    now.residentBytes <= residentBytes + extraBytes;
  return isGood ? undefined : JSON.stringify({ now, idle, residentBytes });
}

/** Gets the bindings, if there are some of channels. */
async function bindingsOf({ broker }: Cluster): Promise<string | undefined> {
  // A binding's key is its third field; queues have one to themselves each from the start.
  const bindings = await broker.eval(
    `lists:usort([binary_to_list(element(3, B)) || ` +
      `B <- rabbit_binding:list(<<"/">>), ` +
      `element(4, element(2, B)) =/= <<>>])`,
  );
  const keys = Array.from(bindings.matchAll(/"([^"]*)"/g), ([, key]) => key!);
  const isGood = keys.every((key) => key === "all" || /^node\./.test(key));
  return isGood ? undefined : bindings.slice(0, 500);
}

/** Gets the names of the nodes' queues. */
async function queuesOf({ broker }: Cluster): Promise<string[]> {
  const text = await broker.eval(
    `[binary_to_list(element(4, amqqueue:get_name(Q))) || ` +
      `Q <- rabbit_amqqueue:list(<<"/">>)]`,
  );
  return text.match(/staps\.node\.[0-9a-f.]+/g) ?? [];
}

/** Ends a node, and gets what was wrong with that, with its log, or is left in its folder. */
async function end(node: Node): Promise<string[]> {
  const problems: string[] = [];
  const code = await node.stop();
  if (code !== 0) problems.push(`${node.name} ended with ${code}`);
  const files = Array.from(Deno.readDirSync(node.folder), ({ name }) => name)
    // Deno's own cache isn't ours.
    .filter((name) => !/^(\..*|staps\.conf|staps\.log)$/.test(name));
  if (files.length > 0) problems.push(`${node.name} left ${files.join(", ")}`);
  const { stdout } = await runProgram("grep", [
    ...["-E", "-i", "-m", "3"],
    `uncaught|unhandled|a bug|^ +at |${secretPath}`,
    node.logFile,
  ]);
  if (stdout !== "") problems.push(`${node.name} logged ${stdout.trim()}`);
  return problems;
}
