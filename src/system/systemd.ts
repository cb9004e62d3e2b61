/**
 * Notifies systemd (sd_notify(3)): the process is ready, reloads or stops, its
 * status in one line, and the watchdog's signs of life.
 */
import { NotifySocket } from "./notify_socket.ts";

/** How often the line about how the process does may change, in milliseconds. */
const statusIntervalMs = 10_000;

/** The variables that systemd sets for its services: sd_notify(3), sd_watchdog_enabled(3). */
export interface ServiceEnvironment {
  readonly NOTIFY_SOCKET?: string | undefined;
  readonly WATCHDOG_USEC?: string | undefined;
  readonly WATCHDOG_PID?: string | undefined;
}

/** What systemd hears of a process. Without systemd nothing happens. */
export class ServiceManager implements Disposable {
  /** Why there is none although the environment names one. */
  readonly problem: string | undefined;
  readonly #socket: NotifySocket | undefined;
  readonly #watchdogMs: number | undefined;
  readonly #timers = new Set<ReturnType<typeof setInterval>>();
  #sentStatus = "";
  #sending = 0;

  private constructor(
    { socket, watchdogMs, problem }: {
      problem?: string | undefined;
      socket?: NotifySocket | undefined;
      watchdogMs?: number | undefined;
    },
  ) {
    this.problem = problem;
    this.#socket = socket;
    this.#watchdogMs = watchdogMs;
  }

  /**
   * Gets the service manager that `environment` names; one that ignores
   * everything if there is none, or if it can't be reached: see
   * {@linkcode problem}.
   *
   * Needs the permission `ffi` until it returns.
   */
  static connect(environment: ServiceEnvironment): ServiceManager {
    const path = environment.NOTIFY_SOCKET;
    if (path === undefined || path === "") return new ServiceManager({});
    try {
      return new ServiceManager({
        socket: NotifySocket.open(path),
        watchdogMs: watchdogMs(environment),
      });
    } catch (error) {
      return new ServiceManager({
        problem: `Cannot notify "${path}": ${(error as Error).message}`,
      });
    }
  }

  /** Whether there is a service manager, which means that it cares for the process. */
  get isPresent(): boolean {
    return this.#socket !== undefined;
  }

  /** Tells that start-up or a reload is over. */
  async ready(status: string): Promise<void> {
    this.#sentStatus = status;
    await this.#send(`READY=1\nSTATUS=${oneLine(status)}`);
  }

  /** Tells that the configuration is being read again; {@linkcode ready} ends it. */
  async reloading(): Promise<void> {
    await this.#send("RELOADING=1");
  }

  /** Tells that the process ends, which takes `timeLimitMs` milliseconds at most. */
  async stopping(timeLimitMs: number): Promise<void> {
    this.#clearTimers();
    // sd_notify(3): more time than the unit's TimeoutStopSec, if it takes more.
    await this.#send(
      `STOPPING=1\nSTATUS=Stopping\nEXTEND_TIMEOUT_USEC=${
        Math.round(timeLimitMs * 1000)
      }`,
    );
  }

  /** Tells why the process can't start; `systemctl status` shows it. */
  async failed(reason: string): Promise<void> {
    await this.#send(`STATUS=${oneLine(reason)}`);
  }

  /**
   * Tells from now on what `status` returns whenever that has changed, at most
   * every ten seconds, and that the event loop lives, twice per interval of the
   * watchdog: a timer of a stuck event loop doesn't fire.
   */
  watch(status: () => string): void {
    if (this.#socket === undefined) return;
    this.#clearTimers();
    this.#every(statusIntervalMs, () => {
      const text = status();
      if (text === this.#sentStatus) return;
      this.#sentStatus = text;
      void this.#send(`STATUS=${oneLine(text)}`);
    });
    if (this.#watchdogMs !== undefined) {
      void this.#send("WATCHDOG=1");
      this.#every(this.#watchdogMs / 2, () => void this.#send("WATCHDOG=1"));
    }
  }

  /** Stops telling anything. */
  [Symbol.dispose](): void {
    this.#clearTimers();
    this.#socket?.[Symbol.dispose]();
  }

  #every(intervalMs: number, action: () => void): void {
    const timer = setInterval(action, intervalMs);
    // It must not keep a process alive that has nothing else to do.
    Deno.unrefTimer(timer);
    this.#timers.add(timer);
  }

  #clearTimers(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers.clear();
  }

  /** Sends `state`, unless several are waiting already. A failure is no reason to stop serving. */
  async #send(state: string): Promise<void> {
    if (this.#socket === undefined || this.#sending >= 4) return;
    this.#sending++;
    // If it fails, systemd restarts. The watchdog tells if it matters.
    await this.#socket.send(state);
    this.#sending--;
  }
}

/** Gets the watchdog's interval in milliseconds, if it is for this process (sd_watchdog_enabled(3)). */
function watchdogMs(
  { WATCHDOG_USEC: usec, WATCHDOG_PID: pid }: ServiceEnvironment,
): number | undefined {
  if (pid !== undefined && pid !== "" && pid !== String(Deno.pid)) {
    return undefined;
  }
  const milliseconds = Number(usec) / 1000;
  return milliseconds > 0 && Number.isFinite(milliseconds)
    ? milliseconds
    : undefined;
}

/** A state's value ends with its line. */
function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " ");
}
