/** What happens when, to whom, and for how long: a pure function of the seed. */
import { Random } from "../helpers/random.ts";
import { nodeCount } from "./cluster.ts";
import { type Fault, faults } from "./faults.ts";

/** A fault as the seed has it. */
export interface PlannedFault {
  readonly fault: Fault;
  /** The index of the node that it hits, -1 if it isn't about one. */
  readonly node: number;
  /** How long it lasts; 0 if that isn't chosen. */
  readonly seconds: number;
  /** How long after the step's begin it comes, in milliseconds. */
  readonly delayMs: number;
  /** For everything that it decides by itself. */
  readonly seed: number;
}

/** Faults that happen at once, and after which everybody waits until messages flow. */
export interface Step {
  /** Counted from 1. */
  readonly number: number;
  /** The round that it belongs to, counted from 1. */
  readonly round: number;
  readonly faults: readonly PlannedFault[];
  /** How long nothing happens before, in milliseconds. */
  readonly calmMs: number;
}

/** Settings of {@linkcode planSteps}. */
export interface PlanOptions {
  /** How many faults happen at once, at most. Default 2. */
  readonly atOnce?: number | undefined;
  /** The kinds of faults to take. Default all but those beyond what can be kept. */
  readonly only?: readonly string[] | undefined;
}

/**
 * Gets the steps of the run with the seed `seed`, without an end. In each round
 * every fault comes once, in an order of its own.
 */
export function* planSteps(
  seed: number,
  { atOnce = 2, only }: PlanOptions = {},
): Generator<Step> {
  const random = new Random(seed);
  const wanted = faults.filter(({ kind, isBeyond = false }) =>
    only?.includes(kind) ?? !isBeyond
  );
  if (wanted.length === 0) {
    throw new RangeError(`Cannot plan: got no fault of ${only?.join(", ")}`);
  }
  let number = 0;
  for (let round = 1;; round++) {
    const rest = shuffled(wanted, random);
    while (rest.length > 0) {
      const group = [rest.shift()!];
      for (let i = 0; i < rest.length && group.length < atOnce;) {
        const next = rest[i]!;
        if (group.every((fault) => fit(fault, next))) {
          group.push(next);
          rest.splice(i, 1);
        } else i++;
      }
      yield { number: ++number, round, ...detailsOf(group, random) };
    }
  }
}

/** Gets a step as a line for people. */
export function describe(step: Step): string {
  return step.faults.map(({ fault, node, seconds }) => {
    const where = node < 0 ? "" : ` node${node + 1}`;
    const howLong = fault.seconds ? ` ${seconds.toFixed(1)}s` : "";
    return `${fault.kind}${where}${howLong}`;
  }).join(" + ");
}

/**
 * Tells whether two faults may happen at once, so that what staps promises is
 * the same as if they came one after the other, and that each can check what it
 * has to.
 */
function fit(one: Fault, other: Fault): boolean {
  const hits = (what: Fault["hits"]): number =>
    Number(one.hits === what) + Number(other.hits === what);
  // A node that ends while it can't reach the broker gives messages up.
  const endsNode = [one, other].some(({ hits, endsClients }) =>
    hits === "node" && endsClients
  );
  if (hits("broker") > 0 && (hits("bridge") > 0 || endsNode)) return false;
  if (hits("broker") > 1 || hits("frontend") > 1 || hits("network") > 1) {
    return false;
  }
  // Clients of its own that are cut off can check nothing. They are in no
  // network of others.
  const hasClients = ({ hits, kind }: Fault): boolean =>
    hits === "clients" && kind !== "bad-frames";
  const cutsOff = ({ hits, endsClients = false }: Fault): boolean =>
    endsClients && hits !== "network";
  return !(hasClients(one) && (hasClients(other) || cutsOff(other)) ||
    hasClients(other) && cutsOff(one));
}

function detailsOf(
  group: readonly Fault[],
  random: Random,
): Pick<Step, "faults" | "calmMs"> {
  const nodes = shuffled([...Array(nodeCount).keys()], random);
  return {
    calmMs: random.between(100, 800),
    faults: group.map((fault) => {
      const isAboutNode = fault.isAboutNode ??
        (fault.hits === "node" || fault.hits === "bridge");
      return {
        fault,
        node: isAboutNode ? nodes.shift()! : -1,
        seconds: fault.seconds ? random.between(...fault.seconds) : 0,
        delayMs: random.between(0, 1000),
        seed: random.integer(0, 2 ** 32 - 1),
      };
    }),
  };
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const rest = [...items];
  return items.flatMap(() =>
    rest.splice(random.integer(0, rest.length - 1), 1)
  );
}
