/** Whether what was sampled is flat. Knows numbers only, so that it can be tried with made-up ones. */
import { spread } from "../../tools/statistics.ts";
import type { Sample } from "./subject.ts";

const MiB = 2 ** 20;

/** What is allowed. */
const limits = {
  /** How much the low points of the memory in use may rise, in MiB an hour. */
  usedMibPerHour: 40,
  /** How many times as high as in the first third the resident memory may get in the last one. */
  residentFactor: 1.2,
  /** How many more descriptors than at first there may be at a quiet moment: the runtime opens some for itself. */
  extraFds: 4,
  /** How many times as long as at first the event loop's lag may be, or as that of the relay at the same time. */
  lagFactor: 2,
  /** A lag that is never too long, in seconds: others use the machine as well. */
  lagS: 0.25,
} as const;

/**
 * In how many parts the time after the warm-up is cut; the lowest point of each
 * counts. A part has to be longer than the collector's cycle: memory goes up
 * and down by some 60 MiB with each 35,000 connections, staps or not.
 */
const parts = 6;
/** Neither memory nor lag is judged if what comes after the warm-up is shorter, in seconds: it says nothing then. */
const leastS = 30 * 60;

/** The warm-up's share of a run, and its longest. */
const warmUpShare = 1 / 3;
const maxWarmUpS = 20 * 60;

/** One thing that was looked at: what was found, and what is allowed. */
export interface Finding {
  readonly what: string;
  readonly found: string;
  readonly allowed: string;
  /** Undefined where nothing is asked for: the run was too short to tell, or it isn't ours. */
  readonly isFlat: boolean | undefined;
}

/** Gets what the samples of one process say, beside those of another one on the same machine. */
export function judge(
  samples: readonly Sample[],
  control: readonly Sample[],
): Finding[] {
  const lengthS = samples.at(-1)?.atS ?? 0;
  const warmUpS = Math.min(maxWarmUpS, lengthS * warmUpShare);
  const warm = samples.filter(({ atS }) => atS >= warmUpS);
  const quiet = samples.filter(({ isQuiet }) => isQuiet);
  const quietAndWarm = warm.filter(({ isQuiet }) => isQuiet);
  const hasLag = samples.some(({ lag }) => lag !== undefined);
  return [
    judgeUsed(warm),
    judgeResident(warm),
    ...hasLag ? [judgeLag(quietAndWarm, control)] : [],
    judgeFds(quiet),
  ];
}

/** Gets what a process uses of its memory: what malloc has handed out, and JavaScript's objects. */
export function usedBytes({ probe }: Sample): number {
  return probe.mallocBytes + probe.heapBytes;
}

/** Judges the lowest points of the memory in use, one in each part of the samples' time. */
function judgeUsed(samples: readonly Sample[]): Finding {
  const first = samples[0]?.atS ?? 0;
  const partS = secondsOf(samples) / parts;
  const points = samples.map((sample) => ({
    part: Math.min(parts - 1, Math.floor((sample.atS - first) / partS)),
    x: sample.atS / 3600,
    y: usedBytes(sample) / MiB,
  }));
  const byPart = Map.groupBy(points, ({ part }) => part);
  const slope = theilSen(Array.from(
    byPart.values(),
    (some) => some.reduce((low, point) => point.y < low.y ? point : low),
  ));
  return {
    what: "low points of memory in use, after the warm-up",
    found: `${slope < 0 ? "−" : "+"}${Math.abs(slope).toFixed(1)} MiB/h`,
    allowed: `≤ ${limits.usedMibPerHour} MiB/h`,
    isFlat: isShort(samples) ? undefined : slope <= limits.usedMibPerHour,
  };
}

/**
 * The C library keeps what is given back in the midst of its memory, and now and
 * then gives much of it to the kernel at once. So the low points of what is
 * resident are a matter of chance, and the high ones aren't.
 */
function judgeResident(samples: readonly Sample[]): Finding {
  const from = samples[0]?.atS ?? 0;
  const third = secondsOf(samples) / 3;
  const highest = (isIn: (s: number) => boolean): number =>
    Math.max(
      0,
      ...samples.filter(({ atS }) => isIn(atS - from))
        .map(({ residentBytes }) => residentBytes / MiB),
    );
  const after = highest((s) => s >= 2 * third);
  const most = highest((s) => s <= third) * limits.residentFactor;
  return {
    what: "resident memory's peak in the last third after the warm-up",
    found: `${after.toFixed(0)} MiB`,
    allowed: `≤ ${most.toFixed(0)} MiB`,
    isFlat: isShort(samples) ? undefined : after <= most,
  };
}

function judgeFds(quiet: readonly Sample[]): Finding {
  const [first, last] = [quiet[0]?.fds ?? NaN, quiet.at(-1)?.fds ?? NaN];
  const most = first + limits.extraFds;
  return {
    what: "descriptors at the last quiet moment",
    found: `${last}`,
    allowed: `≤ ${most}`,
    isFlat: last <= most,
  };
}

/** The lag's 99th percentile between quiet moments, in the last third of them beside the first. */
function judgeLag(
  quiet: readonly Sample[],
  control: readonly Sample[],
): Finding {
  const lags = quiet.slice(1).map((sample, i) => lagBetween(quiet[i]!, sample));
  const third = Math.ceil(lags.length / 3);
  const before = median(lags.slice(0, third));
  const after = median(lags.slice(-third));
  // A machine that got busier makes everybody late.
  const fromS = quiet.at(-third)?.atS ?? 0;
  const others = control.filter(({ atS }) => atS >= fromS)
    .map(({ probe }) => probe.lateMs / 1000).toSorted((a, b) => a - b);
  const other = others[Math.ceil(others.length * 0.99) - 1] ?? 0;
  const most = Math.max(
    limits.lagS,
    limits.lagFactor * Math.max(before, other),
  );
  const ms = (seconds: number): string =>
    `≤ ${Math.round(seconds * 10_000) / 10} ms`;
  return {
    what:
      "event-loop lag, 99th percentile, in the last third after the warm-up",
    found: ms(after),
    allowed: ms(most),
    isFlat: isShort(quiet) ? undefined : after <= most,
  };
}

/** Gets an upper bound of the 99th percentile of the lags between two samples, in seconds. */
function lagBetween(from: Sample, to: Sample): number {
  const counts = to.lag!.map(([, count], i) => count - from.lag![i]![1]);
  const i = counts.findIndex((count) => count >= counts.at(-1)! * 0.99);
  return to.lag![i]?.[0] ?? Infinity;
}

function secondsOf(samples: readonly Sample[]): number {
  return (samples.at(-1)?.atS ?? 0) - (samples[0]?.atS ?? 0);
}

/** Tells whether the samples after the warm-up say nothing. */
function isShort(samples: readonly Sample[]): boolean {
  return secondsOf(samples) < leastS;
}

/**
 * Gets the slope of the points: the median of the slopes of all pairs, which a
 * few wild points don't change (Theil 1950, Sen 1968). 0 for fewer than two.
 */
export function theilSen(
  points: readonly { readonly x: number; readonly y: number }[],
): number {
  const slopes = points.flatMap((a, i) =>
    points.slice(i + 1).filter((b) => b.x !== a.x)
      .map((b) => (b.y - a.y) / (b.x - a.x))
  );
  return slopes.length === 0 ? 0 : median(slopes);
}

function median(values: readonly number[]): number {
  return spread(values).median;
}
