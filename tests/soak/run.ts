/** A run from its start to its end: traffic, samples and quiet moments. */
import { closes } from "../../src/relay/close.ts";
import { type CheckedCrowd, startChecked } from "../chaos/checked_crowd.ts";
import { type Checker, lineOf } from "../chaos/checker.ts";
import type { Door } from "../chaos/client.ts";
import { Cluster } from "../chaos/cluster.ts";
import { faults } from "../chaos/faults.ts";
import { leftovers } from "../chaos/leftovers.ts";
import { pay } from "../chaos/visits.ts";
import { eventually, pause } from "../../tools/eventually.ts";
import { TempFolder } from "../../tools/folder.ts";
import { Random } from "../helpers/random.ts";
import { type Finding, judge, usedBytes } from "./analysis.ts";
import { churn, clientBufferBytes, readSlowly, residents } from "./crowds.ts";
import {
  probeScript,
  startRelay,
  type Subject,
  takeSample,
  watchedEnvironment,
} from "./subject.ts";

/** Settings of {@linkcode soak}. */
export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly joinsPerSecond: number;
  /** Gets a line about each quiet moment. */
  readonly onQuiet?: (line: string) => void;
  /** Ends the run before its time. */
  readonly signal?: AbortSignal;
}

/** What came of a run. */
export interface SoakResult {
  readonly seconds: number;
  readonly seed: number;
  /**
   * What clients of the nodes did and got. Handshakes were refused while the
   * broker was away; others are violations. Who hangs up does so before the
   * answer to its handshake.
   */
  readonly counts: {
    readonly [
      name in
        | ("connections" | "messages" | "deliveries" | "refused")
        | ("hangUps" | "slowReaders" | "brokerCuts")
    ]: number;
  };
  /** What was looked at, and what it is about. */
  readonly findings: readonly (Finding & { readonly about: string })[];
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
  const { pid } = stack.use(await startRelay(home));
  const [first, second] = cluster.nodes.map((node) => ({
    ...{ node, pid: node.pid, folder: node.folder, samples: [] },
  }));
  const subjects = [
    { name: "node 1, behind nginx", ...first! },
    { name: "node 2", ...second! },
    { name: "the 20-line relay", pid, folder: home, samples: [] },
  ];
  return await new Run({ ...options, cluster, subjects }).play();
}

/** What a run works with; the last of the subjects is the relay. */
interface Stage extends SoakOptions {
  readonly cluster: Cluster;
  readonly subjects: readonly Subject[];
}

class Run {
  readonly #random: Random;
  /** The ways to the first node, through nginx, and to the second one; and to the relay. */
  readonly #doors: readonly Door[];
  readonly #relayDoor: Door;
  readonly #startMs = performance.now();
  readonly #checkers: Checker[] = [];
  /** The codes that slow readers were told. */
  readonly #slowCodes: number[] = [];
  #hangUps = 0;
  #brokerCuts = 0;
  /** What there is at the first moment at which only the residents are there, and at the last one. */
  #atFirst: Rest | undefined;
  #atLast: Rest | undefined;

  constructor(readonly stage: Stage) {
    this.#random = new Random(stage.seed);
    const { frontend, nodeDoors } = stage.cluster;
    this.#doors = [{ target: frontend, node: 0 }, nodeDoors[1]!];
    const socket = `${stage.subjects.at(-1)!.folder}/relay.sock`;
    this.#relayDoor = { target: { socket } };
  }

  async play(): Promise<SoakResult> {
    const { minutes, seed, signal } = this.stage;
    const wholeS = minutes * 60;
    const aboutS = Math.min(maxCycleS, wholeS / quietMoments);
    const cycleS = Math.max(minCycleS, aboutS);
    let failure: Error | undefined;
    try {
      await using stayers = await startChecked({
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
      this.#finish(stayers);
      const problems = await leftovers(this.stage.cluster);
      if (problems.length > 0) throw new Error(problems.join("; "));
    } catch (error) {
      // What was found up to then is worth telling, too.
      failure = error as Error;
    }
    const findings = this.#findings(failure);
    return { seconds: this.#nowS, seed, counts: this.#counts, findings };
  }

  get #nowS(): number {
    return (performance.now() - this.#startMs) / 1000;
  }

  get #counts(): SoakResult["counts"] {
    const counts = { connections: 0, messages: 0, deliveries: 0, refused: 0 };
    for (const { verdict } of this.#checkers) {
      counts.connections += verdict.connections;
      counts.messages += verdict.messages;
      counts.deliveries += verdict.deliveries;
      counts.refused += sumOf(Object.values(verdict.refused));
    }
    return {
      ...counts,
      hangUps: this.#hangUps,
      slowReaders: this.#slowCodes.length,
      brokerCuts: this.#brokerCuts,
    };
  }

  #finish({ checker }: CheckedCrowd): void {
    checker.finish();
    this.#checkers.push(checker);
  }

  /** Lets clients come and go until it is `endS`, and the broker cut everybody off when it is `cutS`. */
  async #runCycle(
    stayers: CheckedCrowd,
    { endS, cutS }: { endS: number; cutS: number },
  ): Promise<void> {
    // They would fill the disk in the end.
    for (const { logFile } of this.stage.cluster.nodes) {
      await Deno.truncate(logFile);
    }
    const { joinsPerSecond, signal } = this.stage;
    const kind = churn(joinsPerSecond);
    const seed = this.#random.integer(0, 2 ** 31);
    await using goers = await startChecked({
      ...{ ...kind, random: new Random(seed), doors: this.#doors, checks },
    });
    // The same for the relay, of which some messages get lost by design.
    await using relayGoers = await startChecked({
      ...{ ...kind, random: new Random(seed), doors: [this.#relayDoor] },
      settleTimeoutMs: uncheckedSettleMs,
    });
    stayers.crowd.isSilent = false;
    let slowReader: Promise<void> | undefined;
    let cutDueS = cutS;
    let [sampleDueS, slowDueS, hangUpDueS] = [0, 0, this.#nowS];
    while (this.#nowS < endS && !signal?.aborted) {
      if (this.#nowS >= sampleDueS) {
        sampleDueS = this.#nowS + sampleS;
        await this.#sample(false);
      }
      if (this.#nowS >= slowDueS) {
        slowDueS = this.#nowS + slowReaderS;
        await slowReader;
        const node = this.#random.pick(this.stage.cluster.nodes);
        slowReader = readSlowly(node, this.#random).then((code) => {
          // Unless the broker was away just then.
          if (code !== undefined) this.#slowCodes.push(code);
        });
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
    this.#finish(goers);
  }

  /** Lets one client of a node and one of the relay hang up before they are answered. */
  async #hangUp(): Promise<void> {
    const random = this.#random;
    const path = `/${random.uuid()}`;
    for (const { target } of [random.pick(this.#doors), this.#relayDoor]) {
      await pay("hangs up before the 101", { target, path, random });
    }
  }

  /** Lets the broker cut all connections, which have to be back afterwards. */
  async #cutOff(crowds: readonly CheckedCrowd[]): Promise<void> {
    this.#brokerCuts++;
    const heals = crowds.map(({ history }) => history.fault(cut.kind));
    await cut.strike(this.stage.cluster, {
      node: this.stage.cluster.nodes[0]!,
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
    const { cluster, onQuiet } = this.stage;
    const countObjects =
      `{length(rabbit_amqqueue:list(<<"/">>)), length(rabbit_binding:list(<<"/">>))}`;
    await eventually(
      async () => {
        const objects = await cluster.broker.eval(countObjects);
        const nodes = await Promise.all(cluster.nodes.map(async (node) => {
          const { clients, channels } = await node.status();
          return { clients, channels };
        }));
        const broker = objects.match(/\d+/g)!.join(" and ");
        this.#atLast = { nodes, broker };
        const clients = sumOf(nodes.map(({ clients }) => clients));
        if (clients !== crowd.counts.open) return false;
        this.#atFirst ??= this.#atLast;
        return JSON.stringify(this.#atLast) === JSON.stringify(this.#atFirst);
      },
      () => {
        const [first, last] = [this.#atFirst, this.#atLast];
        return `only the residents: ${JSON.stringify({ first, last })}`;
      },
      { timeoutMs: quietTimeoutMs },
    );
    const minutes = (this.#nowS / 60).toFixed(1);
    const lines = await this.#sample(true);
    const { connections, deliveries } = this.#counts;
    const done = `${connections} joins, ${deliveries} deliveries`;
    onQuiet?.(`${minutes} min, ${done}; ${lines.join("; ")}`);
  }

  /** Takes a sample of each process, and gets them as text. */
  async #sample(isQuiet: boolean): Promise<string[]> {
    const atS = this.#nowS;
    const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
    return await Promise.all(this.stage.subjects.map(async (subject) => {
      const sample = await takeSample(subject, { atS, isQuiet });
      return `${subject.name}: ${mib(sample.residentBytes)} MiB, ` +
        `${mib(usedBytes(sample))} of it in use, ${sample.fds} fds`;
    }));
  }

  #findings(failure: Error | undefined): SoakResult["findings"] {
    const verdicts = this.#checkers.map(({ verdict }) => verdict);
    const broken = sumOf(verdicts.map((each) => each.violationCount));
    const lines = verdicts.flatMap(({ violations }) => violations)
      .slice(0, shownViolations).map(lineOf);
    const slow = this.#slowCodes.filter((code) => code === closes.slow.code);
    const [first, last] = [this.#atFirst?.broker, this.#atLast?.broker];
    const relay = this.stage.subjects.at(-1)!.samples;
    const clients = "all clients";
    return [
      {
        ...{ about: "the run", isFlat: failure === undefined },
        what: "everybody but the residents gone at each quiet moment",
        ...{ found: failure?.message ?? "yes", allowed: "yes" },
      },
      {
        ...{ about: clients, isFlat: broken === 0 },
        what: "promises broken to those who stayed, came and went",
        ...{ found: [`${broken}`, ...lines].join("; "), allowed: "0" },
      },
      {
        ...{ about: clients, isFlat: slow.length === this.#slowCodes.length },
        what: `slow readers closed with ${closes.slow.code}`,
        found: `${slow.length} of ${this.#slowCodes.length}`,
        allowed: "all",
      },
      ...this.stage.subjects.flatMap(({ name: about, node, samples }) =>
        judge(samples, relay).map((finding) => ({
          ...{ about, ...finding },
          // Of the relay it is only told: it isn't ours.
          ...node === undefined && { allowed: "–", isFlat: undefined },
        }))
      ),
      {
        ...{
          about: "the broker",
          isFlat: last !== undefined && last === first,
        },
        what: "queues and bindings at the last quiet moment",
        ...{ found: `${last}`, allowed: `${first}, as at first` },
      },
    ];
  }
}

/** What there is while only the residents are there: on the nodes, and the broker's queues and bindings in words. */
interface Rest {
  readonly nodes: readonly { clients: number; channels: number }[];
  readonly broker: string;
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}
