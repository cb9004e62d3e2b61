/**
 * What strangers try with a frontend in another network: `attack()` here, and
 * the process that it starts in there, which tries all at the same time and
 * prints what became of it.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import {
  eventTimeoutMs,
  eventually,
  pause,
  within,
} from "../../tools/eventually.ts";
import { handshakeBytes } from "../../tools/handshake.ts";
import { runOrThrow, runProgram } from "../../tools/process.ts";

/** More clients than the examples allow for one address. */
const tooMany = 1100;
/** More half handshakes at a time than Debian's nginx has connections, with two processes. */
const halfHandshakes = 2000;
/** How long to go on with those, in milliseconds: longer than the examples wait for a head. */
const halfMs = 12_000;

/** Addresses of the attackers, and of others that must not suffer. */
const ofOne = "127.0.1.1";
const ofHalf = "127.0.1.2";
const bystander = "127.0.1.3";
/** The addresses of one who has a network of /64; the first is the frontend's as well. */
const ofNetwork = Array.from(
  { length: tooMany },
  (_, i) => `2001:db8:0:1::${(i + 1).toString(16)}`,
);
/** One of another network. */
const bystander6 = "2001:db8:0:2::1";

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
  const add = ["sh", "-c", 'printf %s "$0" | ip -6 -batch -', batch.join("")];
  await runOrThrow(through[0]!, [...through.slice(1), ...add]);
  const { code, stdout, stderr } = await runProgram("prlimit", [
    ...["--nofile=10000:10000", ...through, Deno.execPath()],
    ...["run", "--allow-all", "--no-lock", import.meta.filename!],
  ], { timeoutMs: 3 * eventTimeoutMs });
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

/** Begins a connection to the frontend. */
function dial(localAddress: string): Socket {
  const host = localAddress.includes(":") ? ofNetwork[0]! : "127.0.0.1";
  return connect({ host, port: 80, localAddress });
}

/** Tries to become a client, which stays, and gets the answer. */
async function handshake(localAddress: string): Promise<string> {
  const socket = dial(localAddress);
  socket.on("error", () => {});
  socket.write(handshakeBytes({ path: `/${crypto.randomUUID()}` }));
  const answer = Promise.race([
    once(socket, "data").then(([data]) => data.toString("latin1", 9, 12)),
    once(socket, "close").then(() => "none"),
  ]);
  return await within(answer, "an answer").catch(() => "none");
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

/** Keeps up half handshakes until `untilMs`, and gets how many were given up: half of them at least, however long that takes. */
async function halves(untilMs: number): Promise<number> {
  let givenUp = 0;
  const open = (): void => {
    const socket = dial(ofHalf);
    socket.on("error", () => {});
    socket.on("close", () => {
      givenUp++;
      if (Date.now() < untilMs) open();
    });
    socket.write(`GET /${crypto.randomUUID()} HTTP/1.1\r\nHost: h\r\n`);
  };
  for (let i = 0; i < halfHandshakes; i++) open();
  await pause(untilMs - Date.now());
  await eventually(() => givenUp > halfHandshakes / 2, "half of them to end");
  return givenUp;
}

/** Joins every half second until `untilMs`. */
async function bystanders(untilMs: number): Promise<Answers> {
  const answers = [];
  while (Date.now() < untilMs) {
    answers.push(await handshake(bystander), await handshake(bystander6));
    await pause(500);
  }
  return count(answers);
}

function count(answers: readonly string[]): Answers {
  const counts: Record<string, number> = {};
  for (const answer of answers) counts[answer] = (counts[answer] ?? 0) + 1;
  return counts;
}

if (import.meta.main) {
  const untilMs = Date.now() + halfMs;
  const [oneAddress, oneNetwork, others, givenUp] = await Promise.all([
    crowd([ofOne]),
    crowd(ofNetwork),
    bystanders(untilMs),
    halves(untilMs),
  ]);
  const outcomes = { oneAddress, oneNetwork, others, givenUp };
  const text = JSON.stringify(outcomes satisfies Outcomes);
  await Deno.stdout.write(new TextEncoder().encode(text));
  Deno.exit();
}
