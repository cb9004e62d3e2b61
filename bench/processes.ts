/** What processes cost, read from proc(5). */

/** Gets the CPU time in nanoseconds of every thread of `pids`, by thread. */
export function threadCpuNs(pids: readonly number[]): Map<string, number> {
  const times = new Map<string, number>();
  for (const pid of pids) {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
      try {
        const text = Deno.readTextFileSync(
          `/proc/${pid}/task/${name}/schedstat`,
        );
        times.set(`${pid}/${name}`, Number(text.slice(0, text.indexOf(" "))));
      } catch (error) {
        // The thread may have ended since its name was read.
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
  }
  return times;
}

/** Gets the nanoseconds that were spent between two results of {@linkcode threadCpuNs}. */
export function spentNs(
  before: Map<string, number>,
  after: Map<string, number>,
): number {
  let sum = 0;
  for (const [thread, ns] of after) sum += ns - (before.get(thread) ?? 0);
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
