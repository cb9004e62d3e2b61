/** A crowd whose checker keeps pace: of what happens nothing is kept but what is still under way. */
import { Checker, type CheckerOptions } from "./checker.ts";
import { Crowd, type CrowdOptions } from "./crowd.ts";
import { protocol } from "./documented.ts";
import { History } from "./history.ts";

/** Settings of {@linkcode startChecked}. */
export interface CheckedCrowdOptions extends Omit<CrowdOptions, "history"> {
  /** What the checker has to know of the nodes; left out, nothing is expected of them. */
  readonly checks?: Omit<CheckerOptions, "protocol">;
  /** The history's file. Default: none. */
  readonly path?: string;
}

/** A crowd, its history, and what its checker thinks of the server. */
export interface CheckedCrowd extends AsyncDisposable {
  readonly crowd: Crowd;
  readonly history: History;
  readonly checker: Checker;
}

/** Resolves when every client of the first channels has been open. */
export async function startChecked(
  { checks, path = "/dev/null", ...options }: CheckedCrowdOptions,
): Promise<CheckedCrowd> {
  const checker = new Checker({ protocol, ...checks });
  const history = History.begin({
    ...{ path, seed: options.random.seed },
    ...checks && { onEvent: (event) => checker.take(event) },
  });
  const crowd = await Crowd.start({ ...options, history });
  return {
    ...{ crowd, history, checker },
    async [Symbol.asyncDispose](): Promise<void> {
      await crowd[Symbol.asyncDispose]();
      history[Symbol.dispose]();
    },
  };
}
