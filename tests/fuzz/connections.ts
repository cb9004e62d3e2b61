/** Bytes of connections to a real staps: frames behind a handshake, requests, and those to the admin socket. */
import assert from "node:assert/strict";
import {
  concat,
  frameBytes,
  handshakeBytes,
  opcodes,
} from "../../tools/raw_client.ts";
import type { Random } from "../helpers/random.ts";
import type { Received } from "../../tools/ws_client.ts";
import { randomFrames } from "./frame_input.ts";
import { messagesOf, readFrames } from "./frame_model.ts";
import { mutateBytes } from "./mutations.ts";
import { canary, FuzzedNode, keyOf, maxMessageBytes, paths } from "./node.ts";
import { randomHead } from "./request_input.ts";
import { count, type Counts, type Target } from "./target.ts";
import { type Door, send, type Sending, sendingOf } from "./wire.ts";

/** What is listened to with a handshake. */
const doors = ["unix", "tcp"] as const;
const bodies = [
  "hello",
  "5\r\nhello\r\n0\r\n\r\n",
  "ffffffffffffffff\r\n",
  "0\r\nX: y\r\n\r\n",
].map((text) => new TextEncoder().encode(text));
const adminPaths = ["/metrics", "/healthz", "/readyz", "/status"];

function makeFrames(random: Random): Sending {
  const faultChance = random.pick([0, 0, 0.05, 0.3]);
  const frames = Array.from(
    { length: random.integer(1, 3) },
    () => randomFrames(random, { maxBytes: maxMessageBytes, faultChance }),
  );
  if (random.chance(0.03)) {
    const payload = new Uint8Array(maxMessageBytes + 1).fill(0x61);
    frames.unshift(frameBytes(opcodes.text, payload));
  }
  const path = random.chance(0.7)
    ? paths.shared
    : `/${canary}/own/${random.integer(0, 99)}`;
  const head = random.chance(0.98)
    ? handshakeBytes({ path })
    : new Uint8Array(0);
  const whole = concat([head, ...frames]);
  const bytes = random.chance(faultChance / 4)
    ? mutateBytes(random, whole)
    : whole;
  const { end } = publishedBy(bytes);
  return sendingOf(random, bytes, {
    doors,
    // One that the server has to close shows that all of it is published.
    endings: end === "close" && random.chance(0.7)
      ? ["server"]
      : ["reset", "close", "half", "half"],
  });
}

/** Gets what may be published of the bytes of a connection to the shared channel, and how they end. */
function publishedBy(
  bytes: Uint8Array<ArrayBuffer>,
): { messages: string[]; end: "close" | "other" } {
  const text = new TextDecoder("latin1").decode(bytes);
  const head = text.indexOf("\r\n\r\n") + 4;
  if (head < 4) return { messages: [], end: "other" };
  const maxBytes = maxMessageBytes;
  const { events, end } = readFrames(bytes.slice(head), { maxBytes });
  return {
    messages: messagesOf(events),
    end: end.kind === "close" ? "close" : "other",
  };
}

/** Checks what somebody got in the shared channel. */
function checkPublished(
  got: readonly Received[],
  inputs: readonly Sending[],
): void {
  const head = handshakeBytes({ path: paths.shared }).toHex();
  const isSure = ({ bytes, ending }: Sending): boolean =>
    ending === "server" && bytes.toHex().startsWith(head);
  const publishedByAll = (inputs: readonly Sending[]): Counts =>
    tallyOf(inputs.flatMap(({ bytes }) => publishedBy(bytes).messages));
  const most = publishedByAll(inputs);
  const least = publishedByAll(inputs.filter(isSure));
  const tally = tallyOf(got.map(keyOf));
  for (const message of Object.keys({ ...tally, ...least })) {
    const times = tally[message] ?? 0;
    const [from, to] = [least[message] ?? 0, most[message] ?? 0];
    assert.ok(
      times >= from && times <= to,
      `Got ${times} times what was sent ${from} to ${to} times: ${
        message.slice(0, 200)
      }`,
    );
  }
}

function tallyOf(messages: readonly string[]): Counts {
  const tally: Counts = {};
  for (const message of messages) count(tally, message);
  return tally;
}

function makeRequests(
  random: Random,
  options: { paths: readonly string[]; doors: readonly Door[] },
): Sending {
  const requests = Array.from(
    { length: random.chance(0.8) ? 1 : random.integer(2, 5) },
    () => {
      const head = randomHead(random, { ...options, handshakeChance: 0.7 });
      return random.chance(0.3) ? [head, random.pick(bodies)] : [head];
    },
  );
  const bytes = random.chance(0.03)
    ? random.bytes(random.integer(1, 500))
    : concat(requests.flat());
  const endings = ["reset", "close", "close", "half", "half"] as const;
  return sendingOf(random, bytes, { doors: options.doors, endings });
}

/** Checks that what came back is HTTP responses, whole or cut off, that give nothing away. */
function checkAnswer(answer: Uint8Array, statuses: readonly number[]): void {
  let rest = new TextDecoder("latin1").decode(answer);
  assert.ok(!rest.toLowerCase().includes(canary), "a path is in the answer");
  while (rest !== "") {
    const line = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(rest);
    assert.ok(line, `No response: ${JSON.stringify(rest.slice(0, 200))}`);
    const status = Number(line[1]);
    assert.ok(statuses.includes(status), `Got the status ${status}`);
    const end = rest.indexOf("\r\n\r\n");
    // What follows a 101 is no HTTP; and what isn't complete isn't read further.
    if (end < 0 || status === 101) return;
    const head = rest.slice(0, end);
    rest = rest.slice(end + 4);
    // One to a HEAD has no body, nor has a 100.
    if (/^HTTP\/1\.[01] \d{3} /.test(rest)) continue;
    const length = /^content-length: *(\d+)/im.exec(head)?.[1];
    if (length === undefined) return;
    rest = rest.slice(Number(length));
  }
}

/** @param options.statuses Those that may be answered; without it, the inputs may publish. */
function nodeTarget(
  { statuses, ...target }:
    & Pick<Target<Sending>, "name" | "about" | "quickCount" | "make">
    & { statuses?: readonly number[] },
): Target<Sending> {
  return {
    ...target,
    batch: 160,
    fixed: ["door", "ending"],
    open: async (stack, counts) => {
      const node = await FuzzedNode.start(stack);
      return {
        try: async (input) => {
          const answer = await send(node, input);
          if (answer.length === 0 || statuses === undefined) return;
          checkAnswer(answer, statuses);
          return "answers";
        },
        look: async (inputs) => {
          for (const got of await node.look()) {
            if (statuses !== undefined) assert.deepEqual(got, []);
            checkPublished(got, inputs);
            for (const _ of got) count(counts, "frames' messages published");
          }
          counts["messages between others"] = node.talked;
        },
      };
    },
  };
}

/** The targets that are connections to a node. */
export const connectionTargets: readonly Target<Sending>[] = [
  nodeTarget({
    name: "frames",
    about:
      "bytes of a connection to staps, by unix socket or TCP: handshake, frames, damage to both, whole or in pieces, cut off, half-closed or reset",
    quickCount: 640,
    make: makeFrames,
  }),
  nodeTarget({
    name: "requests",
    about:
      "HTTP requests to staps, by unix socket or TCP: methods, URLs, versions, headers, bodies, several at once",
    quickCount: 480,
    make: (random) =>
      makeRequests(random, {
        paths: [`/${canary}/own`, `/${canary}`, `/${canary}/%F0%9F%98%80`],
        doors,
      }),
    statuses: [
      ...[100, 101, 200, 400, 403, 404, 405, 408, 411, 413, 414, 417, 426],
      ...[431, 501, 505],
    ],
  }),
  nodeTarget({
    name: "admin",
    about: "the same to the admin socket",
    quickCount: 320,
    make: (random) =>
      makeRequests(random, {
        paths: [...adminPaths, ...adminPaths, `/${canary}`],
        doors: ["admin"],
      }),
    statuses: [100, 200, 400, 404, 405, 414, 431, 503],
  }),
];
