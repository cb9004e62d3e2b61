/**
 * Every fault once among others and a crowd that comes and goes; those of the
 * bridge by themselves, where it is known exactly what follows; and that a run
 * that breaks a promise is found out.
 */
import assert from "node:assert/strict";
import { TempFolder } from "../../tools/folder.ts";
import { Cluster } from "./cluster.ts";
import type { FaultKind } from "./excuses.ts";
import { faults } from "./faults.ts";
import { passed, summary } from "./report.ts";
import { runChaos, type RunOptions } from "./run.ts";

/** Small enough for an outage of seconds to fill an outbox. */
const smallOutbox = {
  bridge: "outbox_bytes = 512K",
  limits: "message_bytes = 64K\nslow_after_s = 1",
};

/** What the exact runs have alone, and nothing else is needed to see in a crowd that comes and goes. */
const alone: readonly FaultKind[] = [
  ...["bridge-reset", "bridge-black-hole", "bridge-half-open"] as const,
  ...["broker-closes", "broker-memory", "broker-restart"] as const,
];

/** Runs, one after the other on one cluster. Of many seeds these take the least time, as few steps as can be among them. */
const runs: readonly (Omit<RunOptions, "cluster" | "folder"> & {
  readonly name: string;
  readonly only: readonly FaultKind[];
})[] = [
  {
    name:
      "every promise is kept while everything happens, three faults at once",
    seed: 23642,
    atOnce: 3,
    only: faults.filter(({ kind, isBeyond }) =>
      !isBeyond && !alone.includes(kind)
    ).map(({ kind }) => kind),
  },
  {
    name: "nothing is lost, and nobody is closed, by one fault at a time",
    seed: 1399,
    exact: "nobody-closed",
    only: [...alone, "broker-kill"],
  },
  ...(["refuse", "local"] as const).map((onOutage) => ({
    name:
      `with small outboxes and on_outage = ${onOutage}, who misses something is told`,
    seed: 961,
    exact: "somebody-told" as const,
    settings: { ...smallOutbox, onOutage },
    only: ["bridge-black-hole", "broker-kill"] as const,
  })),
];

Deno.test("staps keeps its promises", async (t) => {
  await using folder = await TempFolder.make();
  await using stack = new AsyncDisposableStack();
  const cluster = stack.use(await Cluster.start({ folder: folder.path }));
  for (const { name, ...options } of runs) {
    const isGood = await t.step(name, async () => {
      const result = await runChaos({
        ...{ rounds: 1, cluster, folder: folder.path },
        ...options,
      });
      assert.ok(passed(result), summary(result));
      for (const kind of options.only) {
        const { times, obstacle } = result.faults.get(kind)!;
        // One that this machine doesn't allow says why.
        assert.ok(times === 1 || obstacle !== undefined, kind);
      }
    });
    // The next one would begin with what this one left.
    if (!isGood) return;
  }

  await t.step("a promise that isn't kept is found", async () => {
    // Nodes that lose messages, and tell nobody.
    const result = await runChaos({
      ...{ seed: 3, rounds: 2, cluster, folder: folder.path },
      only: ["queue-deleted"],
      settings: { bridge: "on_gap = continue" },
    });
    assert.ok(!passed(result));
    // Behind a lost message without a name the next one is none that was expected.
    assert.match(
      summary(result),
      /^(missing|invented) at \d+\.\d+ s, channel \d+, connection \d+: /m,
    );
  });
  await stack.disposeAsync();
  for (const file of ["history.jsonl", "logs/node1.log"]) {
    assert.ok((await Deno.stat(`${folder.path}/${file}`)).size > 0, file);
  }
});
