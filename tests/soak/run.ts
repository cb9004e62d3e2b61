/** A run from its start to its end: traffic, samples and quiet moments. */
import { closes } from "../../src/relay/close.ts";
import { CheckedCrowd } from "../chaos/checked_crowd.ts";
import type { Door } from "../chaos/client.ts";
import { Cluster } from "../chaos/cluster.ts";
import { faults } from "../chaos/faults.ts";
import { leftovers } from "../chaos/leftovers.ts";
import { lineOf, type Verdict } from "../chaos/verdict.ts";
import { pay } from "../chaos/visits.ts";
import { eventually, pause } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import { Random } from "../helpers/random.ts";
import { type Finding, judge } from "./analysis.ts";
import { churn, clientBufferBytes, readSlowly, residents } from "./crowds.ts";
import {
  probeScript,
  Relay,
  type Sample,
  type Subject,
  takeSample,
  watchedEnvironment,
} from "./subject.ts";

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
export interface QuietMoment extends Totals {
  readonly atS: number;
  /** One for each process. */
  readonly samples: readonly (readonly [name: string, sample: Sample])[];
}

/** What clients of the nodes did and got. */
export interface Totals {
  readonly connections: number;
  readonly messages: number;
  readonly deliveries: number;
  /** Handshakes refused, all of them while the broker was away; others are violations. */
  readonly refused: number;
}

/** What came of a run. */
export interface SoakResult {
  readonly seconds: number;
  readonly seed: number;
  readonly totals: Totals;
  /** Handshakes broken off before their answer. */
  readonly hangUps: number;
  readonly slowReaders: number;
  readonly brokerCuts: number;
  /** What was looked at, by the name of what it is about. */
  readonly findings: readonly (readonly [about: string, finding: Finding])[];
}

/** How often samples are taken, in seconds. */
const sampleS = 5;
/** How often somebody doesn't read, in seconds. */
const slowReaderS = 10;
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
/** How long a server that promises nothing is waited for in the end, in milliseconds. */
const uncheckedSettleMs = 1_000;
/** How many violations are told. */
const shownViolations = 5;

/** What chaos' checker has to know: its nodes refuse newcomers in an outage. */
const checks = { onOutage: "refuse" } as const;
const cut = faults.find(({ kind }) => kind === "broker-closes")!;

/**
 * Soaks two nodes, one of them behind nginx, with RabbitMQ between them, and
 * beside them the 20-line relay under the same churn, which shows what the
 * runtime does by itself.
 *
 * @throws {Error} If they can't be started.
 */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  await using stack = new AsyncDisposableStack();
  const { path: folder } = stack.use(await TempFolder.make());
  const cluster = stack.use(
    await Cluster.start({ folder, nodes: 2, served: 1 }),
  );
  await cluster.startNodes({
    limits: `client_buffer_bytes = ${clientBufferBytes}\nmessage_bytes = 128K`,
    // As in production: with everything logged that a default one logs.
    logLevel: "info",
    preload: probeScript,
    env: watchedEnvironment,
  });
  const { path: home } = stack.use(await TempFolder.make());
  const relay = stack.use(await Relay.start(home));
  return await new Run(options, cluster, relay).play();
}

class Run {
  readonly #options: SoakOptions;
  readonly #cluster: Cluster;
  readonly #relay: Relay;
  readonly #random: Random;
  readonly #subjects: readonly Subject[];
  readonly #samples = new Map<Subject, Sample[]>();
  readonly #startMs = performance.now();
  readonly #verdicts: Verdict[] = [];
  /** The codes that slow readers were told. */
  readonly #slowCodes: number[] = [];
  #hangUps = 0;
  #brokerCuts = 0;
  /** What there is at the first moment at which only the residents are there, and at the last one. */
  #atFirst: Rest | undefined;
  #atLast: Rest | undefined;

  constructor(options: SoakOptions, cluster: Cluster, relay: Relay) {
    this.#options = options;
    this.#cluster = cluster;
    this.#relay = relay;
    this.#random = new Random(options.seed);
    const [first, second] = cluster.nodes;
    this.#subjects = [
      { name: "node 1, behind nginx", process: first!, node: first! },
      { name: "node 2", process: second!, node: second! },
      { name: "the 20-line relay", process: relay },
    ];
    for (const subject of this.#subjects) this.#samples.set(subject, []);
  }

  async play(): Promise<SoakResult> {
    const { minutes, signal } = this.#options;
    const wholeS = minutes * 60;
    const cycleS = Math.max(
      minCycleS,
      Math.min(maxCycleS, wholeS / quietMoments),
    );
    let failure: Error | undefined;
    try {
      await using stayers = await CheckedCrowd.start({
        ...{ ...residents, random: this.#random.fork(), doors: this.#doors },
        checks,
      });
      await this.#beQuiet(stayers);
      for (let cycle = 1; this.#nowS < wholeS && !signal?.aborted; cycle++) {
        const endS = Math.min(wholeS, this.#nowS + cycleS);
        const isCutDue = cycle % cyclesPerCut === 0;
        const cutS = isCutDue ? (this.#nowS + endS) / 2 : Infinity;
        await this.#runCycle(stayers, { endS, cutS });
        await this.#beQuiet(stayers);
      }
      await stayers.crowd.finish();
      this.#verdicts.push(stayers.checker.finish());
      const problems = await leftovers(this.#cluster);
      if (problems.length > 0) throw new Error(problems.join("; "));
    } catch (error) {
      // What was found up to then is worth telling, too.
      failure = error as Error;
    }
    return {
      seconds: this.#nowS,
      seed: this.#options.seed,
      totals: this.#totals,
      hangUps: this.#hangUps,
      slowReaders: this.#slowCodes.length,
      brokerCuts: this.#brokerCuts,
      findings: this.#findings(failure),
    };
  }

  get #nowS(): number {
    return (performance.now() - this.#startMs) / 1000;
  }

  /** The ways to the first node, through nginx, and to the second one. */
  get #doors(): Door[] {
    const { frontend, nodeDoors } = this.#cluster;
    return [{ name: "nginx", target: frontend, node: 0 }, nodeDoors[1]!];
  }

  get #totals(): Totals {
    const sum = (get: (verdict: Verdict) => number): number =>
      sumOf(this.#verdicts.map(get));
    return {
      connections: sum(({ connections }) => connections),
      messages: sum(({ messages }) => messages),
      deliveries: sum(({ deliveries }) => deliveries),
      refused: sum(({ refused }) => sumOf(Object.values(refused))),
    };
  }

  /** Lets clients come and go until it is `endS`, and the broker cut everybody off when it is `cutS`. */
  async #runCycle(
    stayers: CheckedCrowd,
    { endS, cutS }: { endS: number; cutS: number },
  ): Promise<void> {
    // They would fill the disk in the end.
    for (const { logFile } of this.#cluster.nodes) await Deno.truncate(logFile);
    const { joinsPerSecond, signal } = this.#options;
    const kind = churn(joinsPerSecond);
    const seed = this.#random.integer(0, 2 ** 31);
    await using goers = await CheckedCrowd.start({
      ...{ ...kind, random: new Random(seed), doors: this.#doors, checks },
    });
    // The same for the relay, of which some messages get lost by design.
    await using relayGoers = await CheckedCrowd.start({
      ...{ ...kind, random: new Random(seed) },
      doors: [{ name: "relay", target: this.#relay }],
      settleTimeoutMs: uncheckedSettleMs,
    });
    stayers.crowd.isSilent = false;
    let slowReader = Promise.resolve();
    let cutDueS = cutS;
    let [sampleDueS, slowDueS] = [this.#nowS, this.#nowS];
    let hangUpDueS = this.#nowS;
    while (this.#nowS < endS && !signal?.aborted) {
      if (this.#nowS >= sampleDueS) {
        sampleDueS += sampleS;
        await this.#sample(false);
      }
      if (this.#nowS >= slowDueS) {
        slowDueS += slowReaderS;
        await slowReader;
        slowReader = this.#addSlowReader();
      }
      for (; this.#nowS >= hangUpDueS; this.#hangUps++) {
        hangUpDueS += 1 / (hangUpShare * joinsPerSecond);
        await this.#hangUp();
      }
      if (this.#nowS >= cutDueS) {
        cutDueS = Infinity;
        await this.#cutOff([goers, stayers]);
      }
      await pause(100);
    }
    await slowReader;
    await Promise.all([goers.crowd.finish(), relayGoers.crowd.finish()]);
    this.#verdicts.push(goers.checker.finish());
  }

  /** Lets one client not read, unless the broker is away just now. */
  async #addSlowReader(): Promise<void> {
    const node = this.#random.pick(this.#cluster.nodes);
    const code = await readSlowly(node, this.#random);
    if (code !== undefined) this.#slowCodes.push(code);
  }

  /** Lets one client of a node and one of the relay hang up before they are answered. */
  async #hangUp(): Promise<void> {
    const random = this.#random;
    const path = `/${random.uuid()}`;
    for (const target of [random.pick(this.#doors).target, this.#relay]) {
      await pay("hangs up before the 101", { target, path, random });
    }
  }

  /** Lets the broker cut all connections, which have to be back afterwards. */
  async #cutOff(crowds: readonly CheckedCrowd[]): Promise<void> {
    this.#brokerCuts++;
    const heals = crowds.map(({ history }) => history.fault(cut.kind));
    await cut.strike(this.#cluster, {
      node: this.#cluster.nodes[0]!,
      lasts: () => Promise.resolve(),
      paths: [],
      random: this.#random,
    });
    for (const heal of heals) heal();
  }

  /** Waits until there are only the residents, who are silent, and tells what there is then. */
  async #beQuiet({ crowd }: CheckedCrowd): Promise<void> {
    crowd.isSilent = true;
    await crowd.flows();
    await eventually(
      async () => {
        const rest = this.#atLast = await this.#rest();
        if (rest.clients !== crowd.counts.open) return false;
        this.#atFirst ??= rest;
        return JSON.stringify(rest) === JSON.stringify(this.#atFirst);
      },
      () =>
        `only the residents to be left: ${JSON.stringify(this.#atFirst)}, ` +
        `got ${JSON.stringify(this.#atLast)}`,
      { timeoutMs: quietTimeoutMs },
    );
    const atS = this.#nowS;
    const samples = await this.#sample(true);
    this.#options.onQuiet?.({ ...this.#totals, atS, samples });
  }

  async #rest(): Promise<Rest> {
    const objects = await this.#cluster.broker.eval(
      `{length(rabbit_amqqueue:list(<<"/">>)), length(rabbit_binding:list(<<"/">>))}`,
    );
    const nodes = await Promise.all(this.#cluster.nodes.map(async (node) => {
      const { clients, channels } = await node.status();
      return { clients, channels };
    }));
    return {
      nodes,
      clients: sumOf(nodes.map(({ clients }) => clients)),
      broker: objects.match(/\d+/g)!.join(" and "),
    };
  }

  async #sample(isQuiet: boolean): Promise<QuietMoment["samples"]> {
    const atS = this.#nowS;
    return await Promise.all(this.#subjects.map(async (subject) => {
      const sample = await takeSample(subject, { atS, isQuiet });
      this.#samples.get(subject)!.push(sample);
      return [subject.name, sample] as const;
    }));
  }

  #findings(failure: Error | undefined): SoakResult["findings"] {
    const broken = sumOf(this.#verdicts.map((each) => each.violationCount));
    const lines = this.#verdicts.flatMap(({ violations }) => violations)
      .slice(0, shownViolations).map(lineOf);
    const slow = this.#slowCodes.filter((code) => code === closes.slow.code);
    const [first, last] = [this.#atFirst?.broker, this.#atLast?.broker];
    return [
      ["the run", {
        what: "everybody but the residents gone at each quiet moment",
        found: failure?.message ?? "yes",
        allowed: "yes",
        isFlat: failure === undefined,
      }],
      ["all clients", {
        what: "promises broken to those who stayed, came and went",
        found: [`${broken}`, ...lines].join("; "),
        allowed: "0",
        isFlat: broken === 0,
      }],
      ["all clients", {
        what: `slow readers closed with ${closes.slow.code}`,
        found: `${slow.length} of ${this.#slowCodes.length}`,
        allowed: "all",
        isFlat: slow.length === this.#slowCodes.length,
      }],
      ...this.#subjects.flatMap((subject) => this.#judge(subject)),
      ["the broker", {
        what: "queues and bindings at the last quiet moment",
        found: `${last}`,
        allowed: `${first}, as at first`,
        isFlat: last !== undefined && last === first,
      }],
    ];
  }

  #judge(subject: Subject): [string, Finding][] {
    const { name, node } = subject;
    const relay = this.#samples.get(this.#subjects.at(-1)!)!;
    return judge(this.#samples.get(subject)!, relay).map((finding) => [
      name,
      // Of the relay it is only told: it isn't ours.
      node ? finding : { ...finding, allowed: "–", isFlat: undefined },
    ]);
  }
}

/** What there is while only the residents are there. */
interface Rest {
  readonly nodes: readonly { clients: number; channels: number }[];
  /** Those of all nodes. */
  readonly clients: number;
  /** The broker's queues and bindings, in words. */
  readonly broker: string;
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}
