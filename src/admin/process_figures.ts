/** What the operating system says about this process. */
import process from "node:process";

/** Figures of the process; those that it may not ask for are `undefined`. */
export interface ProcessFigures {
  /** Processor time, user and system, in seconds. */
  readonly cpuSeconds: number;
  /** Memory in RAM, in bytes. */
  readonly residentBytes: number;
  /** JavaScript's own memory in use, in bytes. */
  readonly heapBytes: number;
  /** Open file descriptors. */
  readonly openFds: number | undefined;
}

/** What has to be readable for all figures. */
export const processFiles: readonly string[] = ["/proc/self/fd"];

/** When the process started, in seconds since 1970. */
export const startTimeSeconds = (Date.now() - performance.now()) / 1000;

/** Gets the present figures. */
export function processFigures(): ProcessFigures {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = Deno.memoryUsage();
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: rss,
    heapBytes: heapUsed,
    openFds: countFds(),
  };
}

function countFds(): number | undefined {
  try {
    // Since Linux 6.2 the folder's size is their number; before, it is 0.
    const { size } = Deno.statSync("/proc/self/fd");
    if (size > 0) return size;
    // One of them is the folder that is being read.
    return [...Deno.readDirSync("/proc/self/fd")].length - 1;
  } catch {
    // Not permitted any more.
    return undefined;
  }
}
