/**
 * docs/scale.md, with the blocks of the page: which node gets which channels,
 * and what nginx does with those of a node that is away.
 */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { eventually, within } from "../../tools/eventually.ts";
import { freePort, TempFolder } from "../../tools/folder.ts";
import { inFrontendGroup, type Nginx, startNginx } from "../helpers/nginx.ts";
import { repository } from "../../tools/process.ts";
import { handshakeBytes, RawClient } from "../../tools/raw_client.ts";
import { RestartableStaps as Node } from "../helpers/restartable_staps.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { type Client, Clients } from "../../tools/ws_client.ts";

const page = "docs/scale.md";

/** How often somebody says something in each channel that should notice nothing, in milliseconds. */
const talkMs = 100;

/** Three nodes in a folder, which goes with them. */
async function startNodes(
  stack: AsyncDisposableStack,
): Promise<readonly [Node, Node, Node]> {
  const folder = stack.use(await TempFolder.make());
  const [a, b, c] = await Promise.all(
    ["1", "2", "3"].map((name) =>
      Node.start(folder.path, { name, through: inFrontendGroup })
    ),
  );
  return [stack.use(a!), stack.use(b!), stack.use(c!)];
}

/** Starts nginx.conf.example with `upstream` in the place of its own, and `more` before it. */
function startSite(upstream: string, more = ""): Promise<Nginx> {
  const example = (servers: string): string => `\nupstream staps {${servers}}`;
  return startNginx({
    socket: "/nowhere",
    replace: [[
      example("\n    server unix:/nowhere max_fails=0;\n"),
      `\n${more}\n${upstream}`,
    ]],
  });
}

/** The page's blocks for several machines, each of which is an address of this one. */
async function machines(nodes: readonly Node[]): Promise<
  { upstream: string; doors: string }
> {
  let upstream = await block(page, "machines");
  const door = await block(page, "door");
  let doors = "";
  for (const [i, { socket }] of nodes.entries()) {
    const address = `127.0.0.1:${freePort()}`;
    const name = `node${i + 1}.internal:7800`;
    assert.ok(upstream.includes(` ${name} `), upstream);
    upstream = upstream.replace(name, address);
    doors += door.replaceAll("staps_here", `staps_here_${i}`)
      .replace("10.0.0.1:7800", address)
      .replace("/var/log/nginx/staps.error.log", "stderr")
      .replace("/run/staps/staps.sock", socket);
  }
  return { upstream, doors };
}

/** Gets the node that has each channel, of which there is one. */
async function homes(
  nodes: readonly Node[],
  paths: readonly string[],
): Promise<Map<string, Node>> {
  const found = new Map<string, Node>();
  for (const path of paths) {
    const nodesOf = (): Node[] => nodes.filter((each) => each.joined(path) > 0);
    await eventually(() => nodesOf().length > 0, "the channel in a log");
    const [home, ...others] = nodesOf();
    assert.deepEqual(others, []);
    found.set(path, home!);
  }
  return found;
}

/** Members of the channel `path`, each of whom hears each. */
async function meet(
  clients: Clients,
  path: string,
  count = 3,
): Promise<Client[]> {
  const members = await clients.joinMany(path, count);
  for (const member of members) await hear(members, member);
  return members;
}

/** Checks that what `from` says reaches all other members. */
async function hear(members: readonly Client[], from: Client): Promise<void> {
  const text = crypto.randomUUID();
  from.send(text);
  for (const to of members) {
    if (to !== from) assert.equal(await to.next(), text);
  }
}

/** Somebody who says a number again and again, and the end of it: everybody else has to have got all of them. */
function talk([speaker, ...listeners]: readonly Client[]): () => Promise<void> {
  let said = 0;
  const timer = setInterval(() => speaker!.send(`${++said}`), talkMs);
  return async () => {
    clearInterval(timer);
    const all = Array.from({ length: said }, (_, i) => `${i + 1}`);
    for (const listener of listeners) {
      assert.deepEqual(await listener.take(said), all);
    }
    assert.ok(said > 0 && speaker!.isOpen, "talked to the end");
  };
}

/** Gets the status with which a handshake is answered. */
async function statusOf(nginx: Nginx, path: string): Promise<number> {
  using client = await RawClient.connect({ port: nginx.port });
  await client.write(handshakeBytes({ path }));
  const { status, headers } = await client.readResponse();
  if (status === 502) assert.equal(headers.get("retry-after"), "5");
  return status;
}

/** Resolves with how each connection ended, as code and reason. */
function ends(clients: readonly Client[]): Promise<string[]> {
  const all = clients.map(async ({ closed }) => {
    const { code, reason } = await closed;
    return `${code} ${reason}`;
  });
  return within(Promise.all(all), "the end of the clients of a node");
}

Deno.test("docs/scale.md: of three machines one goes for a while, and for good, and comes back", async () => {
  await using stack = new AsyncDisposableStack();
  const nodes = await startNodes(stack);
  const [first, second, third] = nodes;
  const { upstream, doors } = await machines(nodes);
  const nginx = stack.use(await startSite(upstream, doors));
  const clients = stack.use(new Clients(nginx.url));

  const paths = Array.from({ length: 60 }, newPath);
  const members = new Map<string, Client[]>();
  const meetIn = async (some: readonly string[]): Promise<void> => {
    for (const path of some) members.set(path, await meet(clients, path));
  };
  const membersOf = (some: readonly string[]): Client[] =>
    some.flatMap((path) => members.get(path)!);
  await meetIn(paths);
  const home = await homes(nodes, paths);
  /** Gets the channels of a node, and those of the others. */
  const split = (node: Node): [string[], string[]] => [
    paths.filter((path) => home.get(path) === node),
    paths.filter((path) => home.get(path) !== node),
  ];
  for (const node of nodes) {
    assert.ok(split(node)[0].length > 5, "a fair share");
  }

  // For a while: its clients are told or cut off, wait, and meet there again.
  const ways = [
    [first, "SIGTERM", /^1001 service restart, retry=\d+$/],
    [second, "SIGKILL", /^1006 /],
  ] as const;
  for (const [node, signal, expected] of ways) {
    const [own, others] = split(node);
    const quiet = others.map((path) => talk(members.get(path)!));
    await node.stop(signal);
    for (const end of await ends(membersOf(own))) assert.match(end, expected);
    for (const path of own) assert.equal(await statusOf(nginx, path), 502);
    await node.start();
    await meetIn(own);
    for (const end of quiet) await end();
  }
  assert.deepEqual(await homes(nodes, paths), home);

  // For good: it is marked in one nginx, and in another one not yet.
  const [own, others] = split(first);
  const late = stack.use(await startSite(upstream));
  const quiet = others.map((path) => talk(members.get(path)!));
  await first.stop("SIGKILL");
  await ends(membersOf(own));
  const down = upstream.replace(" max_fails=0;", " max_fails=0 down;");
  await nginx.configure([[upstream, down]]);
  for (const path of own) assert.equal(await statusOf(late, path), 502);
  await meetIn(own);
  for (const end of quiet) await end();
  const substitutes = await homes([second, third], paths);
  for (const path of others) {
    assert.equal(substitutes.get(path), home.get(path));
    // Who comes now meets those who are there.
    const newcomer = await clients.join(path);
    const all = [...members.get(path)!, newcomer];
    await hear(all, all[0]!);
    await hear(all, newcomer);
    newcomer.close();
  }
  assert.equal(new Set(own.map((path) => substitutes.get(path))).size, 2);

  // It comes back: all its channels are split, and nobody is told.
  await first.start();
  await nginx.configure([[down, upstream]]);
  for (const path of own) {
    const [a, b] = members.get(path)!;
    const newcomer = await clients.join(path);
    a!.send("who is there?");
    newcomer.send("who is there?");
    assert.equal(await b!.next(), "who is there?");
    await eventually(() => first.joined(path) === 1, "it where it was before");
    assert.equal(newcomer.count, 0);
    members.get(path)!.push(newcomer);
  }

  // Until all nodes are restarted: everybody is told, and all meet.
  await Promise.all(nodes.map((node) => node.stop()));
  for (const end of await ends(membersOf(paths))) assert.match(end, /^1001 /);
  await Promise.all(nodes.map((node) => node.start()));
  await meetIn(paths);
  assert.deepEqual(await homes(nodes, paths), home);
});

Deno.test("docs/scale.md: where nginx chooses a substitute by itself, a channel gets split", async () => {
  await using stack = new AsyncDisposableStack();
  const nodes = await startNodes(stack);
  const [first, second] = nodes;
  const text = await block(page, "processes");
  const example = await Deno.readTextFile(`${repository}/nginx.conf.example`);
  assert.ok(example.includes(text.replaceAll(/^/gm, "#").slice(0, -1)));
  const upstream = text.replaceAll("max_fails=0", "max_fails=1 fail_timeout=3s")
    // Otherwise each of nginx's processes chooses for itself.
    .replace("{", "{ zone staps 64k;")
    .replace("/run/staps-1/staps.sock", first.socket)
    .replace("/run/staps-2/staps.sock", second.socket);
  const nginx = stack.use(await startSite(upstream));
  const clients = stack.use(new Clients(nginx.url));
  let path = "";
  /** Joins, and gets the node that nginx chose. */
  const join = async (): Promise<[Client, Node]> => {
    const before = [first.joined(path), second.joined(path)];
    const client = await clients.join(path);
    const node = await eventually(
      () => [first, second].find((each, i) => each.joined(path) > before[i]!),
      "the client in a log",
    );
    return [client, node];
  };
  // A channel that is at home on the first node.
  await eventually(async () => {
    path = newPath();
    const [client, node] = await join();
    client.close();
    return node === first;
  }, "a channel of the first node");

  await first.stop("SIGKILL");
  assert.equal(await statusOf(nginx, path), 502);
  const members = await meet(clients, path, 2);
  assert.equal((await homes([second], [path])).get(path), second);

  await first.start();
  const alone = await eventually(async () => {
    const [newcomer, node] = await join();
    if (node === first) return newcomer;
    newcomer.close();
  }, "nginx to try the node that is back");
  // One try in each fail_timeout; as long as that client stays, it isn't over.
  const [last, node] = await join();
  assert.equal(node, second);
  for (const from of [members[0]!, last]) await hear([...members, last], from);
  assert.equal(alone.count, 0);
});
