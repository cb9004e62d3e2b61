/** `deno task chaos`: its plans, and its command line. What it finds is in run_test.ts. */
import assert from "node:assert/strict";
import { whyNoBroker } from "../../tools/broker_programs.ts";
import { block } from "../helpers/docs.ts";
import { Process, repository } from "../../tools/process.ts";
import { testUnless } from "../helpers/skip.ts";
import { nodeCount } from "./cluster.ts";
import { faults as allFaults } from "./faults.ts";
import { describe, planSteps, type Step } from "./plan.ts";

/** Those that happen without being named. */
const faults = allFaults.filter(({ isBeyond }) => !isBeyond);

/** Gets the steps of the first `rounds` rounds. */
function planOf(seed: number, rounds: number, atOnce: number): Step[] {
  const steps = [];
  for (const step of planSteps(seed, { atOnce })) {
    if (step.round > rounds) break;
    steps.push(step);
  }
  return steps;
}

/** Runs the program to its end, for which it may take minutes. */
async function chaos(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number; stdout: string }> {
  await using program = new Process(Deno.execPath(), [
    ...["run", "--allow-all", "--no-check", `--config=${repository}/deno.json`],
    `${repository}/tests/chaos/main.ts`,
    ...args,
  ], { env: { NO_COLOR: "1", ...env } });
  const { code } = await program.status;
  assert.equal(program.stderr, "");
  return { code, stdout: program.stdout };
}

Deno.test("planSteps() gets the same plan for the same seed, and another for another", () => {
  const text = (seed: number): string[] => planOf(seed, 3, 2).map(describe);
  assert.deepEqual(text(7), text(7));
  assert.notDeepEqual(text(7), text(8));
});

Deno.test("planSteps() has what can't be kept only if it is named", () => {
  for (const only of [["queue-limit"], ["queue-loss"]] as const) {
    const [step] = planSteps(1, { atOnce: 1, only });
    assert.deepEqual(step!.faults.map(({ fault }) => fault.kind), only);
  }
  assert.equal(faults.length, allFaults.length - 2);
});

Deno.test("planSteps() has every fault once in each round, on one node each", () => {
  const kinds = faults.map(({ kind }) => kind);
  for (let seed = 0; seed < 50; seed++) {
    for (const atOnce of [1, 2, 3]) {
      const planned = planOf(seed, 2, atOnce).flatMap((step) => {
        const nodes = step.faults.map(({ node }) => node)
          .filter((node) => node >= 0);
        assert.equal(new Set(nodes).size, nodes.length, describe(step));
        assert.ok(nodes.every((node) => node < nodeCount));
        assert.ok(step.faults.length <= atOnce);
        return step.faults.map(({ fault }) => fault.kind);
      });
      assert.deepEqual(planned.sort(), [...kinds, ...kinds].sort());
    }
  }
});

for (
  const [option, value, expected] of [
    ["--only", "broker-bore", /, expected broker-kill, broker-restart, /],
    ["--minutes", "two", /, expected a number$/m],
    ["--broker", "4.7", /, expected 3\.10, 4\.0, 4\.0-khepri$/m],
    ["--cluster", "stream", /, expected classic, quorum$/m],
  ] as const
) {
  Deno.test(`deno task chaos refuses ${option} ${value}`, async () => {
    const { code, stdout } = await chaos([option, value]);
    assert.equal(code, 2);
    assert.ok(
      stdout.startsWith(`chaos: Cannot read "${option}": got "${value}"`),
    );
    assert.match(stdout, expected);
  });
}

Deno.test("docs/reliability.md's commands are ones that deno task chaos takes", async () => {
  const text = await block("docs/reliability.md", "chaos");
  const commands = text.trim().split("\n").map((line) => {
    const [, args] = line.match(/ task chaos ?([^#]*?) *(?:#|$)/)!;
    return args === "" ? [] : args!.split(" ");
  });
  assert.ok(commands.length > 1);
  for (const args of commands) {
    const { code, stdout } = await chaos([...args, "--plan"]);
    assert.equal(code, 0);
    assert.match(stdout, /broker-kill/);
  }
});

testUnless(await whyNoBroker("4.0"), {
  name: "nobody is closed while brokers of three with quorum queues are lost",
  async fn(): Promise<void> {
    const { code, stdout } = await chaos([
      ...["--seed", "5", "--rounds", "1", "--cluster", "quorum"],
      ...["--broker", "4.0", "--only", "broker-lost"],
    ]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /\nEvery promise was kept\.\n$/);
    assert.match(stdout, /^broker-lost .* 1 +\d.*, at most \d/m);
    assert.doesNotMatch(stdout, /^connections ended, by code .*4001/m);
  },
});

Deno.test("a run that goes wrong is told with the command that does it again", async () => {
  const args = ["--seed", "3", "--rounds", "2", "--only", "queue-deleted"];
  const { code, stdout } = await chaos(
    [...args, "--bridge", "on_gap = continue"],
    { STAPS_BROKER: "none" },
  );
  assert.equal(code, 1, stdout);
  assert.match(stdout, /^chaos: .*STAPS_BROKER/m);
  const again = "Again: deno task chaos --seed 3 --rounds 2 " +
    '--only queue-deleted --bridge "on_gap = continue"\n';
  assert.ok(stdout.includes(again), stdout);
  const [, folder] = stdout.match(/\nHistory and logs: (.*)\n$/)!;
  await Deno.remove(folder!, { recursive: true });
});
