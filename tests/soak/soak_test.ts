/** The soak's rules with made-up samples. */
import assert from "node:assert/strict";
import { judge, theilSen } from "./analysis.ts";
import type { Sample } from "./subject.ts";
import { Random } from "../helpers/random.ts";

const MiB = 2 ** 20;

/** What is wrong with a made-up server. */
interface Flaw {
  readonly residentMibPerHour?: number;
  readonly usedMibPerHour?: number;
  readonly fdsPerHour?: number;
  /** The lag's last bucket in seconds once the run is half over. */
  readonly lateLagS?: number;
  /** How late the probe is, in milliseconds. */
  readonly lateMs?: number;
}

/** Makes the samples of an hour: memory goes up and down as the collector lets it. */
function madeUp(flaw: Flaw = {}): Sample[] {
  const random = new Random(1);
  let [fast, slow] = [0, 0];
  return Array.from({ length: 720 }, (_, i) => {
    const atS = i * 5;
    const hours = atS / 3600;
    // Starts anew every 350 s, and warms up for ten minutes.
    const tooth = 60 * (atS % 350) / 350;
    const warm = 208 - 100 * Math.exp(-atS / 200);
    const noise = random.between(-3, 3);
    const isLate = hours > 0.5 && flaw.lateLagS !== undefined;
    if (isLate) slow += 10;
    else fast += 10;
    return {
      atS,
      isQuiet: i % 24 === 0,
      residentBytes: MiB *
        (warm + tooth + noise + hours * (flaw.residentMibPerHour ?? 0)),
      fds: 26 + i % 3 + Math.floor(hours * (flaw.fdsPerHour ?? 0)),
      probe: {
        mallocBytes: MiB * (40 + hours * (flaw.usedMibPerHour ?? 0)),
        heapBytes: MiB * (25 + tooth + noise / 3),
        lateMs: flaw.lateMs ?? 1,
      },
      lag: [
        [0.005, fast],
        [flaw.lateLagS ?? 1, fast + slow],
        [Infinity, fast + slow],
      ],
    };
  });
}

/** Gets the beginnings of what isn't flat. */
function notFlat(samples: readonly Sample[], control = madeUp()): string[] {
  return judge(samples, control).filter(({ isFlat }) => isFlat === false)
    .map(({ what }) => what.split(" ", 2).join(" "));
}

const cases: readonly (readonly [name: string, flaw: Flaw, found: string])[] = [
  [
    "resident memory that grows",
    { residentMibPerHour: 200 },
    "resident memory's",
  ],
  ["memory in use that grows", { usedMibPerHour: 60 }, "low points"],
  ["descriptors that aren't closed", { fdsPerHour: 12 }, "descriptors at"],
  ["a lag that grows", { lateLagS: 0.5 }, "event-loop lag,"],
];

for (const [name, flaw, found] of cases) {
  Deno.test(`judge() finds ${name}`, () => {
    assert.deepEqual(notFlat(madeUp(flaw)), [found]);
  });
}

Deno.test("judge() finds flat what only goes up and down, or as high as beside it, or is too short to tell", () => {
  for (const { isFlat } of judge(madeUp(), madeUp())) {
    assert.equal(isFlat, true);
  }
  const late = madeUp({ lateLagS: 0.5 });
  assert.deepEqual(notFlat(late, madeUp({ lateMs: 400 })), []);
  const leaky = madeUp({ residentMibPerHour: 400 });
  assert.deepEqual(notFlat(leaky.filter(({ atS }) => atS < 600)), []);
});

Deno.test("theilSen() gets the slope in spite of wild points", () => {
  const points = Array.from({ length: 20 }, (_, x) => ({ x, y: 3 * x + 1 }));
  assert.equal(theilSen(points), 3);
  for (const i of [3, 9, 15]) points[i]!.y = 1000;
  assert.ok(Math.abs(theilSen(points) - 3) < 0.5);
  assert.equal(theilSen([]), 0);
});
