/** staps, and every frontend that we ship an example for before it, for all tests of a file. */
import assert from "node:assert/strict";
import { TempFolder } from "../../tools/folder.ts";
import { statusOf } from "./frontend_requests.ts";
import {
  type Frontend,
  type FrontendName,
  frontends,
  startFrontend,
} from "./frontends.ts";
import { inFrontendGroup } from "./nginx.ts";
import { Process, stapsCommand } from "../../tools/process.ts";
import {
  handshakeBytes,
  type HandshakeOptions,
} from "../../tools/handshake.ts";
import { assertNoPath, newPath } from "./shared_staps.ts";
import { stepsTogether } from "./steps.ts";

/** Half of the frontends' shortened time-outs, as in the shipped files. */
export const idleTimeoutS = 3;

/** How many clients a channel may have, and when whoever is one too many should come back. */
export const channelClients = 20;
export const retryAfterS = 17;

/** What is tried with one frontend. */
export type Trial = (frontend: Frontend, name: string) => Promise<void>;

/** What is tried with each one, by what it does then. */
export type Trials = Readonly<Record<string, Trial>>;

/** Sends a handshake, and gets the status of the answer. */
export function ask(
  { port }: Frontend,
  options: HandshakeOptions = { path: newPath() },
): Promise<number> {
  return statusOf({ port }, handshakeBytes(options));
}

/**
 * Starts staps and the frontends, with short time-outs, before the first test of
 * the file, and ends them after the last. To be made at the top of the file.
 */
export class EveryFrontend {
  /** The frontends by name, in the order of docs/frontends.md. */
  readonly all = new Map<string, Frontend>();
  /** The paths of staps's socket and of its admin socket. */
  socket = "";
  adminSocket = "";
  #configFile = "";
  readonly #stack = new AsyncDisposableStack();
  /** The one that runs, and all before it. */
  readonly #staps: Process[] = [];

  constructor() {
    Deno.test.beforeAll(() => this.#start());
    Deno.test.afterAll(() => this.#stack.disposeAsync());
  }

  /** The staps that was started last. Its log has the hash of each channel that is joined. */
  get staps(): Process {
    return this.#staps.at(-1)!;
  }

  /** Starts staps, after it was stopped. */
  async startStaps(): Promise<void> {
    const [command, ...args] = [
      ...[...inFrontendGroup, Deno.execPath(), ...stapsCommand],
      `--config=${this.#configFile}`,
    ];
    this.#staps.push(this.#stack.use(new Process(command!, args)));
    await this.staps.printed(/listening/);
  }

  /** Registers one test in which each of `trials` is made with every frontend, all at the same time. */
  test(trials: Trials): void {
    const name = `every frontend ${Object.keys(trials).join("; ")}`;
    Deno.test(name, (t) => this.try(t, trials));
  }

  /** Makes each of `trials` with every frontend, all at the same time, as steps of a test. */
  async try(t: Deno.TestContext, trials: Trials): Promise<void> {
    const steps: Record<string, () => Promise<void>> = {};
    for (const [what, trial] of Object.entries(trials)) {
      for (const [name, frontend] of this.all) {
        steps[`${name} ${what}`] = () => trial(frontend, name);
      }
    }
    await stepsTogether(t, steps);
  }

  /** Registers the last test of the file: nobody has logged a path that `newPath()` made. */
  testFarewell(): void {
    Deno.test("afterwards no log has a path, neither staps's nor those of frontends", async () => {
      await this.staps.stop();
      const logs = this.#staps.map(({ output }) => output).join();
      assert.match(logs, /client connected/);
      assertNoPath(logs, "staps's output");
      for (const [name, frontend] of this.all) {
        const logs = await frontend.allLogs();
        assertNoPath(logs, `${name}'s logs`);
        // A path that is cut in two would be found so.
        assert.doesNotMatch(logs, /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}/i);
      }
    });
  }

  async #start(): Promise<void> {
    const { path } = this.#stack.use(await TempFolder.make());
    this.socket = `${path}/staps.sock`;
    this.adminSocket = `${path}/admin.sock`;
    this.#configFile = `${path}/conf`;
    await Deno.writeTextFile(
      this.#configFile,
      `[staps]\nsocket = ${this.socket}\n[admin]\nsocket = ${this.adminSocket}\n` +
        `[limits]\nidle_timeout_s = ${idleTimeoutS}\n` +
        `channel_clients = ${channelClients}\nretry_after_s = ${retryAfterS}\n` +
        "[log]\nlevel = debug\n",
    );
    await this.startStaps();
    const started = Object.entries(frontends).map(
      async ([name, { shortTimeouts: replace }]) => {
        const options = { socket: this.socket, replace };
        return [
          name,
          await startFrontend(name as FrontendName, options),
        ] as const;
      },
    );
    for (const [name, frontend] of await Promise.all(started)) {
      this.all.set(name, this.#stack.use(frontend));
    }
  }
}
