/**
 * Counts the sockets of this machine that are bound to `path`: a listening one,
 * and each connection that it accepted, until it is closed (proc_pid_net(5)).
 * Descriptors can't be counted instead: test files share a process.
 */
export function boundSockets(path: string): number {
  return Deno.readTextFileSync("/proc/self/net/unix").split("\n")
    .filter((line) => line.endsWith(` ${path}`)).length;
}
