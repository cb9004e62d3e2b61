/** A run from its start to its end: traffic, samples and quiet moments. */
import { closes } from "../../src/relay/close.ts";
import { eventually, pause } from "../helpers/eventually.ts";
import { Random } from "../helpers/random.ts";
import { type Finding, judge } from "./analysis.ts";
import { hangUp, readSlowly, type SlowTally } from "./bad_clients.ts";
import { type BrokerObjects, Cluster } from "./cluster.ts";
import { CheckedCrowd, churn, residents } from "./crowds.ts";
import { addVerdict, emptyTally, type Tally } from "./tally.ts";
import { readMetrics, type Sample, takeSample } from "./subject.ts";

/** Settings of {@linkcode soak}. */
export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly joinsPerSecond: number;
  /** Hears of each quiet moment. */
  readonly onQuiet?: (moment: QuietMoment) => void;
  /** Ends the run before its time. */
  readonly signal?: AbortSignal;
}

/** What there is when everybody but the residents has left. */
export interface QuietMoment {
  readonly atS: number;
  /** Clients that came and went, and what they got. */
  readonly joins: number;
  readonly deliveries: number;
  /** One for each process. */
  readonly samples: readonly (readonly [name: string, sample: Sample])[];
}

/** What came of a run. */
export interface SoakResult {
  readonly seconds: number;
  readonly seed: number;
  /** What clients of the nodes found. */
  readonly tally: Tally;
  readonly slowReaders: SlowTally;
  readonly brokerCuts: number;
  /** The samples of each process, by its name. */
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
  /** What was looked at, by the name of what it is about. */
  readonly findings: readonly (readonly [about: string, finding: Finding])[];
}

/** How often samples are taken, in milliseconds. */
const sampleMs = 5_000;
/** How often somebody doesn't read, in milliseconds. */
const slowReaderMs = 10_000;
/** The share of clients that hang up before they are let in. */
const hangUpShare = 0.02;
/** How many quiet moments a run has, and how far apart they are at most, in seconds. */
const quietMoments = 30;
const maxCycleS = 120;
const minCycleS = 4;
/** In each of so many cycles the broker cuts all connections. */
const cyclesPerCut = 2;
/** How long it may take until everybody's leave has arrived everywhere, in milliseconds. */
const quietTimeoutMs = 60_000;

/**
 * Soaks a cluster.
 *
 * @throws {Error} If it can't be started.
 */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { minutes, seed, joinsPerSecond, signal } = options;
  const random = new Random(seed);
  await using cluster = await Cluster.start();
  const tally = emptyTally();
  await using stayers = await CheckedCrowd.start({
    ...residents,
    random: random.fork(),
    doors: cluster.doors,
    checks: true,
  });
  const churnRandom = random.fork();
  const slowReaders: SlowTally = {};
  const slowRandom = random.fork();
  const samples = new Map<string, Sample[]>(
    cluster.subjects.map(({ name }) => [name, []]),
  );
  const startMs = performance.now();
  const elapsedS = (): number => (performance.now() - startMs) / 1000;
  const wholeS = minutes * 60;
  const cycleS = Math.min(
    maxCycleS,
    Math.max(minCycleS, wholeS / quietMoments),
  );
  let brokerCuts = 0;
  /** How many clients and channels each node has at rest. */
  let baseCounts: string | undefined;
  let base: BrokerObjects | undefined;
  let rest: BrokerObjects | undefined;

  const sample = async (isQuiet: boolean): Promise<QuietMoment> => {
    await cluster.checkAlive();
    const atS = elapsedS();
    const taken = await Promise.all(
      cluster.subjects.map(async (subject) =>
        [subject.name, await takeSample(subject, { atS, isQuiet })] as const
      ),
    );
    for (const [name, one] of taken) samples.get(name)!.push(one);
    const { connections: joins, deliveries } = tally;
    return { atS, joins, deliveries, samples: taken };
  };
  const rests = async (): Promise<void> => {
    await eventually(
      async () => {
        const now = await clientsAndChannels(cluster);
        const clients = now.reduce((sum, [clients]) => sum + clients, 0);
        if (clients !== stayers.crowd.counts.open) return false;
        const first = baseCounts ??= JSON.stringify(now);
        return JSON.stringify(now) === first;
      },
      async () =>
        `the nodes to have only the residents, got clients and channels ${
          JSON.stringify(await clientsAndChannels(cluster))
        }`,
      { timeoutMs: quietTimeoutMs },
    );
    rest = await cluster.brokerObjects();
    const first = base ??= rest;
    await eventually(
      async () => {
        rest = await cluster.brokerObjects();
        return rest.bindings === first.bindings && rest.queues === first.queues;
      },
      () =>
        `the broker to have ${JSON.stringify(first)}, got ${
          JSON.stringify(rest)
        }`,
      { timeoutMs: quietTimeoutMs },
    );
  };

  /** Lets one client not read, unless the broker is away just now. */
  const addSlowReader = async (): Promise<void> => {
    const code = await readSlowly(slowRandom.pick(cluster.sockets), slowRandom);
    if (code === undefined) return;
    slowReaders[code] = (slowReaders[code] ?? 0) + 1;
  };
  const runCycle = async (
    { endS, isCut }: { endS: number; isCut: boolean },
  ): Promise<void> => {
    const cutS = (elapsedS() + endS) / 2;
    let isCutDue = isCut;
    let slowReader = Promise.resolve();
    let [sampleDueS, slowDueS, hangUpDueS] = [
      elapsedS(),
      elapsedS(),
      elapsedS(),
    ];
    await cluster.truncateLogs();
    const kind = churn(joinsPerSecond);
    const seed = churnRandom.integer(0, 2 ** 31);
    await using goers = await CheckedCrowd.start({
      ...kind,
      random: new Random(seed),
      doors: cluster.doors,
      checks: true,
    });
    // The same for the relay, of which some messages get lost by design.
    await using relayGoers = await CheckedCrowd.start({
      ...kind,
      random: new Random(seed),
      doors: [cluster.relayDoor],
      checks: false,
    });
    stayers.crowd.resumePublishing();
    while (elapsedS() < endS && !signal?.aborted) {
      if (elapsedS() >= sampleDueS) {
        sampleDueS += sampleMs / 1000;
        await sample(false);
      }
      if (elapsedS() >= slowDueS) {
        slowDueS += slowReaderMs / 1000;
        await slowReader;
        slowReader = addSlowReader();
      }
      for (; elapsedS() >= hangUpDueS; tally.hangUps++) {
        hangUpDueS += 1 / (hangUpShare * joinsPerSecond);
        const path = `/${slowRandom.uuid()}`;
        await hangUp(slowRandom.pick(cluster.doors).target, path);
        await hangUp(cluster.relayDoor.target, path);
      }
      if (isCutDue && elapsedS() >= cutS) {
        isCutDue = false;
        brokerCuts++;
        const healed = [goers, stayers].map(({ history }) =>
          history.fault("bridge-reset")
        );
        await cluster.broker.closeAllConnections();
        for (const heal of healed) heal();
      }
      await pause(100);
    }
    await slowReader;
    const [verdict] = await Promise.all([goers.finish(), relayGoers.finish()]);
    addVerdict(tally, verdict!);
    stayers.crowd.pausePublishing();
    await stayers.crowd.flows();
    await rests();
    options.onQuiet?.(await sample(true));
  };

  let failure: Error | undefined;
  try {
    stayers.crowd.pausePublishing();
    await rests();
    options.onQuiet?.(await sample(true));
    for (let cycle = 1; elapsedS() < wholeS && !signal?.aborted; cycle++) {
      await runCycle({
        endS: Math.min(wholeS, elapsedS() + cycleS),
        isCut: cycle % cyclesPerCut === 0,
      });
    }
    addVerdict(tally, (await stayers.finish())!);
  } catch (error) {
    // What was found up to then is worth telling, too.
    failure = error as Error;
  }
  return {
    seconds: elapsedS(),
    seed,
    tally,
    slowReaders,
    brokerCuts,
    samples,
    findings: [
      ["the run", judgeEnd(failure)],
      ...judgeClients(tally, slowReaders).map((finding) =>
        ["all clients", finding] as const
      ),
      ...cluster.subjects.flatMap((subject) =>
        judge(
          samples.get(subject.name)!,
          samples.get(cluster.relay.name)!,
        ).map((finding) =>
          // Of the relay it is only told: it isn't ours.
          [
            subject.name,
            subject === cluster.relay
              ? { ...finding, allowed: "–", isFlat: undefined }
              : finding,
          ] as const
        )
      ),
      ["the broker", {
        what: "queues and bindings at the last quiet moment",
        found: `${rest?.queues} and ${rest?.bindings}`,
        allowed: `${base?.queues} and ${base?.bindings}, as at first`,
        isFlat: rest !== undefined && rest.queues === base?.queues &&
          rest.bindings === base.bindings,
      }],
    ],
  };
}

function judgeEnd(failure: Error | undefined): Finding {
  return {
    what: "everybody but the residents gone at each quiet moment",
    found: failure === undefined ? "yes" : failure.message,
    allowed: "yes",
    isFlat: failure === undefined,
  };
}

async function clientsAndChannels(
  cluster: Cluster,
): Promise<(readonly [clients: number, channels: number])[]> {
  return await Promise.all(cluster.nodes.map(async ({ admin }) => {
    const { clients, channels } = await readMetrics(admin!);
    return [clients, channels] as const;
  }));
}

/** No promise may have been broken, and slow readers must have been told theirs. */
function judgeClients(tally: Tally, slowReaders: SlowTally): Finding[] {
  const { violations } = tally;
  const slow = slowReaders[closes.slow.code] ?? 0;
  const all = Object.values(slowReaders).reduce((a, b) => a + b, 0);
  return [
    {
      what: "promises broken to those who stayed, came and went",
      found: [`${tally.violationCount}`, ...violations].join("; "),
      allowed: "0",
      isFlat: tally.violationCount === 0,
    },
    {
      what: `slow readers closed with ${closes.slow.code}`,
      found: `${slow} of ${all}`,
      allowed: "all",
      isFlat: slow === all,
    },
  ];
}
