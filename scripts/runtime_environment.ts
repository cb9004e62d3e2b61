/**
 * Environment variables that make the runtime a better relay. They are read
 * before any JavaScript runs, so whatever starts staps has to set them: the
 * task `start`, the launchers of the executable and the Debian package, and the
 * systemd units (for an executable of `deno compile`, which has no launcher).
 *
 * docs/benchmarks.md explains and measures them. They suit Deno 2.9.6 with
 * glibc; elsewhere they do nothing.
 */
export const runtimeEnvironment: Readonly<Record<string, string>> = {
  // Tokio lets a task do 128 reads, then puts back whatever else is readable in
  // reverse order, again and again: clients in the middle wait for hundreds of
  // milliseconds. So few at a time never get that far.
  DENO_TOKIO_MAX_IO_EVENTS_PER_TICK: "64",
  // Send what one batch of messages caused before looking for the next batch.
  DENO_TOKIO_EVENT_INTERVAL: "1024",
  // Keep 16 MiB of freed memory: a message of 16 KiB to 500 clients takes 8 MiB
  // for an instant, and getting that from the kernel anew costs more than
  // sending it.
  MALLOC_TRIM_THRESHOLD_: "16777216",
  // The same for single messages up to 4 MiB: the one above would turn off that
  // glibc finds this out by itself.
  MALLOC_MMAP_THRESHOLD_: "4194304",
};

/** What to start the runtime with for speed, beside {@linkcode runtimeEnvironment}. */
export const runtimeFlags: readonly string[] = [
  // Otherwise the runtime aborts the signal of each request when it ends, well
  // or not, for which it makes an exception with a stack trace: a fifth of the
  // cost of a connect. Nobody listens to these signals. As an entry in
  // deno.json it has no effect in Deno 2.9.6.
  "--unstable-no-legacy-abort",
];

/** {@linkcode runtimeEnvironment} as a shell reads it, in front of a command or after `export`. */
export const shellEnvironment: string = Object.entries(runtimeEnvironment)
  .map(([name, value]) => `${name}=${value}`).join(" ");
