/**
 * Environment variables that make the runtime a better relay. They are read
 * before any JavaScript runs, so whatever starts staps has to set them: the
 * task `start`, the launchers of the executable and the Debian package, and the
 * systemd units (for an executable of `deno compile`, which has no launcher).
 *
 * docs/tune.md explains them. They suit Deno 2.9.6;
 * elsewhere they may do nothing.
 */
export const runtimeEnvironment: Readonly<Record<string, string>> = {
  // Tokio lets a task do 128 reads, then puts back whatever else is readable in
  // reverse order, again and again: clients in the middle wait for hundreds of
  // milliseconds. So few at a time never get that far.
  DENO_TOKIO_MAX_IO_EVENTS_PER_TICK: "64",
  // In a turn of the event loop a flood's work may take a millisecond, and Tokio
  // looks at other sockets only in each 61st: others wait for 60 ms and more.
  // In each second one the look costs nothing that can be measured.
  DENO_TOKIO_EVENT_INTERVAL: "2",
  // New objects get at most 8 MiB, twice, instead of 16: what many connects at
  // once had used stays resident. A quarter less memory with 10,000 clients.
  // With 4 MiB messages cost more, because more of them outlive a collection.
  DENO_V8_FLAGS: "--max-semi-space-size=8",
};

/** {@linkcode runtimeEnvironment} as a shell reads it, in front of a command or after `export`. */
export const shellEnvironment: string = Object.entries(runtimeEnvironment)
  .map(([name, value]) => `${name}=${value}`).join(" ");
