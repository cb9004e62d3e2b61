/**
 * The clients of a soak: chaos' crowd, with its checker at its side. Of an
 * hour's messages nothing is kept but what is still under way.
 */
import { Checker, type Verdict } from "../chaos/checker.ts";
import {
  Crowd,
  type CrowdKind,
  type CrowdOptions,
  foreverMs,
} from "../chaos/crowd.ts";
import { History } from "../chaos/history.ts";
import { repository } from "../helpers/process.ts";

const churnClientsPerChannel = 4;
/** How long a client of the churn and its absence take together, about, in seconds. */
const churnLifeS = 2.1;
/** How long a server that promises nothing is waited for in the end, in milliseconds. */
const uncheckedSettleMs = 1_000;

/** Clients that stay for the whole run, and must miss nothing in all that time. */
export const residents: CrowdKind = {
  channels: 10,
  clientsPerChannel: 4,
  messagesPerSecond: 60,
  maxMessageBytes: 16 * 1024,
  channelLifeMs: [foreverMs, foreverMs],
  clientLifeMs: [foreverMs, foreverMs],
};

/** Gets clients that come and go, in channels that end soon. */
export function churn(joinsPerSecond: number): CrowdKind {
  return {
    channels: Math.ceil(joinsPerSecond * churnLifeS / churnClientsPerChannel),
    clientsPerChannel: churnClientsPerChannel,
    messagesPerSecond: 2 * joinsPerSecond,
    maxMessageBytes: 16 * 1024,
    channelLifeMs: [1_000, 20_000],
    clientLifeMs: [200, 3_000],
    shortStallMs: 300,
  };
}

/** A crowd, and what its checker thinks of the server. */
export class CheckedCrowd implements AsyncDisposable {
  readonly crowd: Crowd;
  readonly history: History;
  readonly #checker: Checker | undefined;

  private constructor(
    parts: { crowd: Crowd; history: History; checker: Checker | undefined },
  ) {
    this.crowd = parts.crowd;
    this.history = parts.history;
    this.#checker = parts.checker;
  }

  /**
   * Resolves when every client of the first channels has been open.
   *
   * @param options.checks Whether anything is expected of the server.
   */
  static async start(
    { checks, ...options }: Omit<CrowdOptions, "history"> & { checks: boolean },
  ): Promise<CheckedCrowd> {
    const checker = checks
      ? new Checker({
        protocol: await Deno.readTextFile(`${repository}/docs/protocol.md`),
        // As cluster.ts configures its nodes.
        onOutage: "refuse",
      })
      : undefined;
    const history = History.begin({
      path: "/dev/null",
      seed: options.random.seed,
      ...checker && { onEvent: (event) => checker.take(event) },
    });
    const crowd = await Crowd.start({
      ...options,
      ...checks ? {} : { settleTimeoutMs: uncheckedSettleMs },
      history,
    });
    return new CheckedCrowd({ crowd, history, checker });
  }

  /** Lets all leave, once they have everything. Gets the verdict; undefined for a server that isn't checked. */
  async finish(): Promise<Verdict | undefined> {
    await this.crowd.finish();
    return this.#checker?.finish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.crowd[Symbol.asyncDispose]();
    this.history.close();
  }
}
