/** The checker finds nothing wrong with what is right, and whatever is wrong, while a crowd is at work. */
import assert from "node:assert/strict";
import { eventually } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import { startStaps } from "../../tools/process.ts";
import { Random } from "../helpers/random.ts";
import { BrokenServer, type FlawName, flaws } from "./broken_server.ts";
import {
  CheckedCrowd,
  type CheckedCrowdOptions,
  protocol,
} from "./checked_crowd.ts";
import { checkFile } from "./checker.ts";

/** Lets a hectic crowd join one node, which the checker follows. */
function watch(
  target: { readonly socket: string },
  options: Partial<CheckedCrowdOptions> = {},
): Promise<CheckedCrowd> {
  return CheckedCrowd.start({
    random: new Random(),
    checks: {},
    doors: [{ name: "node", target, node: 0 }],
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

/** Waits for some channels, ends everything, and checks that nothing was wrong, now and when read back. */
async function assertFlawless(
  target: { readonly socket: string },
  options: Partial<CheckedCrowdOptions> = {},
): Promise<void> {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/history`;
  await using watched = await watch(target, { ...options, path });
  const { crowd, checker, history } = watched;
  const { counts } = crowd;
  await eventually(() => counts.channels > 8, "some channels");
  await crowd.flows();
  await crowd.finish();
  history.close();
  const verdict = checker.finish();
  assert.deepEqual(verdict.violations, []);
  assert.equal(checker.channelsKept, 0);
  const { channels, connections, messages, deliveries } = verdict;
  assert.deepEqual(
    { ...counts, channels, connections, messages, deliveries },
    counts,
  );
  assert.ok(deliveries > 500, `${deliveries} deliveries`);
  assert.deepEqual(await checkFile(path, { protocol }), verdict);
}

Deno.test("Checker finds nothing wrong with a relay that works", async () => {
  await using server = await BrokenServer.start("does nothing wrong");
  await assertFlawless(server);
});

Deno.test("Checker finds nothing wrong with staps", async () => {
  await using staps = await startStaps();
  await assertFlawless(staps, { rushChance: 0.2 });
});

Deno.test("Crowd.flows() tells between whom no messages flow", async () => {
  await using server = await BrokenServer.start("splits a channel");
  await using watched = await watch(server, {
    channelLifeMs: [60_000, 60_000],
    clientLifeMs: [60_000, 60_000],
  });
  await assert.rejects(
    watched.crowd.flows({ timeoutMs: 1000 }),
    /in vain for messages between \d+ pairs of clients: \d+ has 0 of \d+ from/,
  );
});

for (const [flaw, [kind]] of Object.entries(flaws)) {
  if (kind === undefined) continue;
  // More may follow from the same flaw.
  Deno.test(`Checker notices a relay that ${flaw}`, async () => {
    await using server = await BrokenServer.start(flaw as FlawName);
    // It doesn't wait long for what is lost.
    await using watched = await watch(server, { settleTimeoutMs: 5000 });
    const { crowd, checker } = watched;
    await eventually(
      () => checker.violations.some((violation) => violation.kind === kind),
      () => `a violation: ${kind}, ${JSON.stringify(crowd.counts)}`,
    );
  });
}
