/** What processes cost, read from proc(5). */

/** What a thread, or several, have taken. */
export interface Times {
  /** CPU time in nanoseconds. */
  readonly ns: number;
  /** How often the kernel put it on a processor: as often as it was woken up, or more where others wanted to run. */
  readonly turns: number;
}

/** Gets what every thread of `pids` has taken so far, by thread. */
export function threadTimes(pids: readonly number[]): Map<string, Times> {
  const times = new Map<string, Times>();
  for (const pid of pids) {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
      try {
        const [ns, , turns] = Deno.readTextFileSync(
          `/proc/${pid}/task/${name}/schedstat`,
        ).split(" ").map(Number);
        times.set(`${pid}/${name}`, { ns: ns!, turns: turns! });
      } catch (error) {
        // The thread may have ended since its name was read.
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
  }
  return times;
}

/** Gets what was taken between two results of {@linkcode threadTimes}. */
export function spent(
  before: Map<string, Times>,
  after: Map<string, Times>,
): Times {
  const sum = { ns: 0, turns: 0 };
  for (const [thread, { ns, turns }] of after) {
    const was = before.get(thread);
    sum.ns += ns - (was?.ns ?? 0);
    sum.turns += turns - (was?.turns ?? 0);
  }
  return sum;
}

/** Gets the bytes of memory that `pids` keep resident; pages they share are shared out (Pss). */
export function memoryBytes(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids) {
    const text = Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`);
    sum += Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? NaN) * 1024;
  }
  return sum;
}

/** Gets `pid` and all processes below it. */
export function processTree(pid: number): number[] {
  const pids = [pid];
  for (let i = 0; i < pids.length; i++) {
    try {
      for (const { name } of Deno.readDirSync(`/proc/${pids[i]}/task`)) {
        const children = Deno.readTextFileSync(
          `/proc/${pids[i]}/task/${name}/children`,
        );
        for (const child of children.split(" ")) {
          if (child) pids.push(Number(child));
        }
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return pids;
}
