/** The checker finds nothing wrong with what is right, and whatever is wrong, while a crowd is at work. */
import assert from "node:assert/strict";
import { eventually } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import { startStaps } from "../../tools/process.ts";
import { Random } from "../helpers/random.ts";
import { flaws, startBroken } from "./broken_relay.ts";
import {
  type CheckedCrowd,
  type CheckedCrowdOptions,
  startChecked,
} from "./checked_crowd.ts";
import { checkFile } from "./checker.ts";
import { protocol } from "./documented.ts";

/** Lets a hectic crowd join one node, which the checker follows. */
function watch(
  target: { readonly socket: string },
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

Deno.test("Crowd.flows() tells between whom no messages flow", async () => {
  await using server = await startBroken(() => [], { outOf: 1 });
  await using watched = await watch(server, {
    channelLifeMs: [60_000, 60_000],
    clientLifeMs: [60_000, 60_000],
  });
  await assert.rejects(
    watched.crowd.flows({ timeoutMs: 1000 }),
    /in vain for messages between \d+ pairs of clients: \d+ has 0 of \d+ from/,
  );
});

for (const [flaw, [finds, publish]] of Object.entries(flaws)) {
  // More may follow from the same flaw.
  Deno.test(`Checker notices a relay that ${flaw}`, async () => {
    await using server = await startBroken(publish);
    // It doesn't wait long for what is lost.
    await using watched = await watch(server, { settleTimeoutMs: 5000 });
    const { verdict } = watched.checker;
    await eventually(
      () => verdict.violations.some(({ kind }) => kind === finds),
      () => `a violation: ${finds}, ${JSON.stringify(verdict)}`,
    );
  });
}
