/** The checker finds nothing wrong with staps, and whatever goes wrong on the way to a crowd at work. */
import assert from "node:assert/strict";
import { Connection } from "../../tools/connection.ts";
import { eventually } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import { type Staps, startStaps } from "../../tools/process.ts";
import { Random } from "../helpers/random.ts";
import {
  type CheckedCrowd,
  type CheckedCrowdOptions,
  startChecked,
} from "./checked_crowd.ts";
import { checkFile, type ViolationKind } from "./checker.ts";
import { protocol } from "./documented.ts";
import type { MessageKind } from "./history.ts";

/** Lets a hectic crowd join one node, which the checker follows. */
function watch(
  target: Staps,
  options: Partial<CheckedCrowdOptions> = {},
): Promise<CheckedCrowd> {
  return startChecked({
    random: new Random(),
    checks: {},
    doors: [{ target, node: 0 }],
    channels: 4,
    clientsPerChannel: 4,
    messagesPerSecond: 500,
    maxMessageBytes: 128 * 1024,
    channelLifeMs: [500, 1000],
    clientLifeMs: [100, 1500],
    stallMs: 100,
    settleTimeoutMs: 60_000,
    ...options,
  });
}

/** Takes a message for a client. */
type Take = (kind: MessageKind, payload: Uint8Array<ArrayBuffer>) => void;

/** What becomes of a message instead of being given to its client. */
type Flaw = (give: Take, ...message: Parameters<Take>) => void;

/** Lets something go wrong with one of so many messages that come to clients, until it is disposed of. */
function tamper(flaw: Flaw, outOf: number): Disposable {
  const { listen } = Connection.prototype;
  let count = 0;
  Connection.prototype.listen = function ({ message, closed }): void {
    listen.call(this, {
      closed,
      message: (...got) =>
        ++count % outOf === 0 ? flaw(message, ...got) : message(...got),
    });
  };
  return {
    [Symbol.dispose]: () => void (Connection.prototype.listen = listen),
  };
}

/** What may go wrong, and what the checker has to find then; more may follow from it. */
const flaws: Readonly<Record<string, readonly [ViolationKind, Flaw]>> = {
  "a lost message": ["missing", () => {}],
  "a message that comes twice": ["twice", (give, ...message) => {
    give(...message);
    give(...message);
  }],
  "text that comes as binary": [
    "changed",
    (give, _, payload) => give("binary", payload),
  ],
  "a message without its last byte": [
    "changed",
    (give, kind, payload) => give(kind, payload.subarray(0, -1)),
  ],
  "a message that nobody sent": [
    "invented",
    (give, kind) => give(kind, new TextEncoder().encode("~zzzz:1:")),
  ],
};

Deno.test("Checker finds nothing wrong with staps, now and when the history is read back", async () => {
  await using staps = await startStaps();
  await using folder = await TempFolder.make();
  const path = `${folder.path}/history`;
  await using watched = await watch(staps, { rushChance: 0.2, path });
  const { crowd, checker, history } = watched;
  await eventually(() => checker.verdict.channels > 8, "some channels");
  await crowd.flows();
  await crowd.finish();
  history[Symbol.dispose]();
  const verdict = checker.finish();
  assert.deepEqual(verdict.violations, []);
  assert.equal(checker.channelsKept, 0);
  assert.equal(crowd.counts.open, 0);
  assert.ok(verdict.connections > 20, `${verdict.connections} connections`);
  assert.ok(verdict.deliveries > 500, `${verdict.deliveries} deliveries`);
  assert.deepEqual(await checkFile(path, { protocol }), verdict);
});

Deno.test("Checker finds what goes wrong, and Crowd.flows() between whom nothing flows", async (t) => {
  await using staps = await startStaps();
  for (const [name, [kind, flaw]] of Object.entries(flaws)) {
    await t.step(name, async () => {
      using _tampering = tamper(flaw, 20);
      // It doesn't wait long for what is lost.
      await using watched = await watch(staps, { settleTimeoutMs: 5000 });
      const { verdict } = watched.checker;
      await eventually(
        () => verdict.violations.some((found) => found.kind === kind),
        () => `a violation: ${kind}, ${JSON.stringify(verdict)}`,
      );
    });
  }
  await t.step("nothing flows", async () => {
    using _tampering = tamper(() => {}, 1);
    await using watched = await watch(staps, {
      channelLifeMs: [60_000, 60_000],
      clientLifeMs: [60_000, 60_000],
    });
    const { crowd } = watched;
    await assert.rejects(
      crowd.flows({ timeoutMs: 3000 }),
      /in vain for messages between \d+ pairs of clients: \d+ has 0 of \d+ from/,
    );
  });
});
