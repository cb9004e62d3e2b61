/** A crowd whose checker keeps pace: of what happens nothing is kept but what is still under way. */
import { repository } from "../../tools/process.ts";
import { Checker, type CheckerOptions } from "./checker.ts";
import { Crowd, type CrowdOptions } from "./crowd.ts";
import { History } from "./history.ts";

/** The text of docs/protocol.md, which a checker needs. */
export const protocol = await Deno.readTextFile(
  `${repository}/docs/protocol.md`,
);

/** Settings of {@linkcode CheckedCrowd.start}. */
export interface CheckedCrowdOptions extends Omit<CrowdOptions, "history"> {
  /** What the checker has to know of the nodes; left out, nothing is expected of them. */
  readonly checks?: Omit<CheckerOptions, "protocol">;
  /** The history's file. Default: none. */
  readonly path?: string;
}

/** A crowd, its history, and what its checker thinks of the server. */
export class CheckedCrowd implements AsyncDisposable {
  readonly crowd: Crowd;
  readonly history: History;
  readonly checker: Checker;

  private constructor(crowd: Crowd, history: History, checker: Checker) {
    this.crowd = crowd;
    this.history = history;
    this.checker = checker;
  }

  /** Resolves when every client of the first channels has been open. */
  static async start(options: CheckedCrowdOptions): Promise<CheckedCrowd> {
    const { checks, path = "/dev/null", ...rest } = options;
    const checker = new Checker({ protocol, ...checks });
    const history = History.begin({
      ...{ path, seed: options.random.seed },
      ...checks && { onEvent: (event) => checker.take(event) },
    });
    const crowd = await Crowd.start({ ...rest, history });
    return new CheckedCrowd(crowd, history, checker);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.crowd[Symbol.asyncDispose]();
    this.history.close();
  }
}
