/** Signals, and what else ends the process early: a second signal, a bug. */
import { bugFields } from "../common/errors.ts";
import { log } from "../common/log.ts";

/** The signals that stop a process, by their numbers (signal(7)). */
const stopSignals = { SIGTERM: 15, SIGINT: 2 } as const;

/** A signal that stops a process. */
export type StopSignal = keyof typeof stopSignals;

/**
 * Ctrl-C reaches a staps that `deno task` runs more than once: from the
 * terminal, from `deno task`, and with `--watch` as a SIGTERM that the runtime
 * makes. What comes within so many milliseconds after it is the same.
 */
const sameInterruptMs = 500;
/** The exit status after a bug: EX_SOFTWARE, sysexits.h. */
const bugStatus = 70;

/** Gets the first SIGTERM or SIGINT when it comes. A second one ends the process at once. */
export function nextStopSignal(): Promise<StopSignal> {
  // `deno task` sets the variable; without it, two signals are two.
  const sameMs = Deno.env.has("INIT_CWD") ? sameInterruptMs : 0;
  const { promise, resolve } = Promise.withResolvers<StopSignal>();
  let first: { signal: StopSignal; timeMs: number } | undefined;
  const take = (signal: StopSignal): void => {
    const timeMs = performance.now();
    if (first === undefined) {
      first = { signal, timeMs };
      resolve(signal);
      return;
    }
    const isSame = first.signal === "SIGINT" &&
      timeMs - first.timeMs <= sameMs;
    if (!isSame) Deno.exit(statusOf(signal));
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(signal, () => take(signal));
  }
  return promise;
}

/** Gets what SIGINT or SIGTERM aborts from now on; the reason is the exit status. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  void nextStopSignal().then((signal) => controller.abort(statusOf(signal)));
  return controller.signal;
}

/** Gets the exit status that shells give a process ended by `signal`. */
function statusOf(signal: StopSignal): number {
  return 128 + stopSignals[signal];
}

/**
 * From now on, signals don't end a server that ask it for nothing (SIGUSR1,
 * SIGUSR2), or for what it can't do yet: SIGHUP before {@linkcode hangUps}. A
 * terminal's SIGHUP keeps its meaning.
 *
 * With the first listener for any signal, the runtime takes over SIGHUP, even
 * where it was ignored, and for a moment nobody listens: then one ends the
 * process. That moment is shortest if SIGHUP comes first.
 */
export function outliveSignals(): void {
  const signals: Deno.Signal[] = ["SIGUSR1", "SIGUSR2"];
  if (!Deno.stdin.isTerminal()) signals.unshift("SIGHUP");
  for (const signal of signals) Deno.addSignalListener(signal, () => {});
}

/**
 * Listens for SIGHUP from now on, and gets what sets the action for it; one that
 * came before that counts too. Actions don't overlap. A terminal sends the
 * signal when it goes away: then it keeps its meaning, and ends the process.
 */
export function hangUps(): (action: () => Promise<void>) => void {
  if (Deno.stdin.isTerminal()) return () => {};
  const { promise: ready, resolve: set } = Promise.withResolvers<
    () => Promise<void>
  >();
  let last = ready.then(() => {});
  Deno.addSignalListener("SIGHUP", () => {
    last = last.then(async () => await (await ready)());
  });
  return set;
}

/**
 * From now on, an error that nobody catches ends the process, with the status
 * 70. The log gets where it comes from, but not its message: that may quote a
 * channel's path.
 */
export function endOnBug(): void {
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    void endFor(event.error);
  });
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    void endFor(event.reason);
  });
}

async function endFor(bug: unknown): Promise<void> {
  log.error("this is a bug in staps", bugFields(bug));
  await log.flush();
  Deno.exit(bugStatus);
}
