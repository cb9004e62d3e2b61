/** Whether what was sampled is flat. Knows numbers only, so that it can be tried with made-up ones. */
import type { Sample } from "./subject.ts";

const MiB = 2 ** 20;

/** What is allowed. */
export const limits = {
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

/** One thing that was looked at. */
export interface Finding {
  readonly what: string;
  /** What was found, and what is allowed. */
  readonly found: string;
  readonly allowed: string;
  /** Undefined where nothing is asked for: the run was too short to tell, or it isn't ours. */
  readonly isFlat: boolean | undefined;
}

/** Gets the time up to which a run of `lengthS` seconds warms up. */
export function warmUpS(lengthS: number): number {
  return Math.min(maxWarmUpS, lengthS * warmUpShare);
}

/** Gets what the samples of one process say, beside those of another one on the same machine. */
export function judge(
  samples: readonly Sample[],
  control: readonly Sample[],
): Finding[] {
  const lengthS = samples.at(-1)?.atS ?? 0;
  const warm = samples.filter(({ atS }) => atS >= warmUpS(lengthS));
  const quiet = samples.filter(({ isQuiet }) => isQuiet);
  const findings = [
    judgeUsed(warm),
    judgeResident(warm),
  ];
  if (samples.some(({ lag }) => lag !== undefined)) {
    findings.push(judgeLag(warm.filter(({ isQuiet }) => isQuiet), control));
  }
  findings.push(judgeFds(quiet));
  return findings;
}

/** Gets what a process uses of its memory: what malloc has handed out, and JavaScript's objects. */
export function usedBytes({ probe }: Sample): number {
  return probe.mallocBytes + probe.heapBytes;
}

/** Gets the lowest point of the memory in use in each part of the samples' time, as hours and MiB. */
function lowPoints(samples: readonly Sample[]): { x: number; y: number }[] {
  const first = samples[0]?.atS ?? 0;
  const partS = secondsOf(samples) / parts;
  const points: { x: number; y: number }[] = [];
  for (let part = 0; part < parts; part++) {
    const from = first + part * partS;
    const to = part === parts - 1 ? Infinity : from + partS;
    const inPart = samples.filter(({ atS }) => atS >= from && atS < to)
      .map((sample) => ({ x: sample.atS / 3600, y: usedBytes(sample) / MiB }));
    if (inPart.length === 0) continue;
    points.push(inPart.reduce((low, point) => point.y < low.y ? point : low));
  }
  return points;
}

function judgeUsed(samples: readonly Sample[]): Finding {
  const slope = theilSen(lowPoints(samples));
  return {
    what: "low points of memory in use, after the warm-up",
    found: `${signed(slope)} MiB/h`,
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
  const [from, to] = [samples[0]?.atS ?? 0, samples.at(-1)?.atS ?? 0];
  const highest = (isIn: (share: number) => boolean): number =>
    samples.filter(({ atS }) => isIn((atS - from) / (to - from)))
      .reduce((high, { residentBytes }) => Math.max(high, residentBytes), 0) /
    MiB;
  const before = highest((share) => share <= 1 / 3);
  const after = highest((share) => share >= 2 / 3);
  const most = before * limits.residentFactor;
  return {
    what: "resident memory's peak in the last third after the warm-up",
    found: `${after.toFixed(0)} MiB`,
    allowed: `≤ ${most.toFixed(0)} MiB`,
    isFlat: isShort(samples) ? undefined : after <= most,
  };
}

function secondsOf(samples: readonly Sample[]): number {
  return (samples.at(-1)?.atS ?? 0) - (samples[0]?.atS ?? 0);
}

/** Tells whether the samples after the warm-up say nothing. */
function isShort(samples: readonly Sample[]): boolean {
  return secondsOf(samples) < leastS;
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
  return {
    what:
      "event-loop lag, 99th percentile, in the last third after the warm-up",
    found: `≤ ${ms(after)}`,
    allowed: `≤ ${ms(most)}`,
    isFlat: isShort(quiet) ? undefined : after <= most,
  };
}

/** Gets an upper bound of the 99th percentile of the lags between two samples, in seconds. */
export function lagBetween(from: Sample, to: Sample): number {
  const [before, after] = [from.lag!, to.lag!];
  const count = (i: number): number => after[i]![1] - before[i]![1];
  const all = count(after.length - 1);
  for (const [i, [seconds]] of after.entries()) {
    if (count(i) >= all * 0.99) return seconds;
  }
  return Infinity;
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

/** Gets the median; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;
}

function ms(seconds: number): string {
  return `${Math.round(seconds * 10_000) / 10} ms`;
}
