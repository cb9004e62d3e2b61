/**
 * What strangers try with a frontend, in a process of its own, such as one in
 * another network: `attack()` here, and the process that it starts, which tries
 * all at the same time and prints what became of it.
 */
import type { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { eventTimeoutMs } from "../../tools/eventually.ts";
import { runOrThrow, runProgram } from "../../tools/process.ts";

/** More clients than the examples allow for one address. */
const tooMany = 1100;
/** More half handshakes at a time than Debian's nginx has connections, with two processes. */
const halfHandshakes = 2000;
/** How long to go on with those, in milliseconds: longer than the examples wait for a head. */
const halfMs = 12_000;

/** Addresses of the attackers, and of others that must not suffer. */
const ofOne = ["127.0.1.1"];
const ofHalf = "127.0.1.2";
const bystander = "127.0.1.3";
/** Two networks of /64, as whoever has one has all of its addresses. */
const networks = ["2001:db8:0:1::", "2001:db8:0:2::"] as const;
/** The addresses of the one who attacks; the first is the frontend's as well. */
const ofNetwork = Array.from(
  { length: tooMany },
  (_, i) => `${networks[0]}${(i + 1).toString(16)}`,
);
/** An address of the other one. */
const bystander6 = `${networks[1]}1`;

/** How many handshakes got which answer: a status, or `none`. */
export type Answers = Readonly<Record<string, number>>;

/** What became of the attacks. */
export interface Outcomes {
  /** One address opens clients without end. */
  readonly oneAddress: Answers;
  /** So does an IPv6 network, each from another address. */
  readonly oneNetwork: Answers;
  /** The others, at the same time: of IPv4, and of another IPv6 network. */
  readonly others: Answers;
  /** Half handshakes that the frontend has given up. */
  readonly givenUp: number;
}

/** Attacks the frontend on port 80 of the network that `through` leads to, a command such as nsenter(1). */
export async function attack(through: readonly string[]): Promise<Outcomes> {
  const batch = [...ofNetwork, bystander6].map((address) =>
    `addr add ${address}/128 dev lo nodad\n`
  );
  const [enter, ...inside] = through;
  const add = 'printf %s "$0" | ip -6 -batch -';
  await runOrThrow(enter!, [...inside, "sh", "-c", add, batch.join("")]);
  const [program, ...args] = [
    ...["prlimit", "--nofile=10000:10000", ...through, Deno.execPath()],
    ...["run", "--allow-all", "--no-lock", import.meta.filename!],
  ];
  const { code, stdout, stderr } = await runProgram(program!, args, {
    timeoutMs: 3 * eventTimeoutMs,
  });
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

/** Begins a connection to the frontend. */
function dial(localAddress: string): Socket {
  const host = localAddress.includes(":") ? ofNetwork[0]! : "127.0.0.1";
  return connect({ host, port: 80, localAddress });
}

/** Tries to become a client, which stays, and gets the answer. */
function handshake(localAddress: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = dial(localAddress);
  const timer = setTimeout(() => resolve("none"), eventTimeoutMs);
  socket.on("error", () => resolve("none"));
  socket.on("close", () => resolve("none"));
  socket.once("data", (data: Buffer) => {
    clearTimeout(timer);
    resolve(data.toString("latin1", 9, 12));
  });
  socket.write(
    `GET /${crypto.randomUUID()} HTTP/1.1\r\nHost: h\r\n` +
      "Upgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Version: 13\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  return promise;
}

/** Lets as many as possible join from `addresses`, in turns. */
async function crowd(addresses: readonly string[]): Promise<Answers> {
  const answers = [];
  for (let i = 0; i < tooMany; i++) {
    answers.push(handshake(addresses[i % addresses.length]!));
    // A queue of the listener that is full isn't what this is about.
    if (i % 50 === 49) await Promise.all(answers);
  }
  return count(await Promise.all(answers));
}

/** Keeps up half handshakes until `until`, and gets how many were given up. */
function halves(until: number): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  let givenUp = 0;
  const open = (): void => {
    const socket = dial(ofHalf);
    socket.on("error", () => {});
    socket.on("close", () => {
      if (Date.now() > until) return;
      givenUp++;
      open();
    });
    socket.write(`GET /${crypto.randomUUID()} HTTP/1.1\r\nHost: h\r\n`);
  };
  for (let i = 0; i < halfHandshakes; i++) open();
  setTimeout(() => resolve(givenUp), until - Date.now());
  return promise;
}

/** Joins every half second until `until`. */
async function bystanders(until: number): Promise<Answers> {
  const answers = [];
  while (Date.now() < until) {
    answers.push(await handshake(bystander));
    answers.push(await handshake(bystander6));
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return count(answers);
}

function count(answers: readonly string[]): Answers {
  const counts: Record<string, number> = {};
  for (const answer of answers) counts[answer] = (counts[answer] ?? 0) + 1;
  return counts;
}

async function main(): Promise<void> {
  const until = Date.now() + halfMs;
  const [oneAddress, oneNetwork, others, givenUp] = await Promise.all([
    crowd(ofOne),
    crowd(ofNetwork),
    bystanders(until),
    halves(until),
  ]);
  const outcomes = { oneAddress, oneNetwork, others, givenUp };
  await Deno.stdout.write(
    new TextEncoder().encode(JSON.stringify(outcomes satisfies Outcomes)),
  );
  Deno.exit();
}

if (import.meta.main) await main();
