/** What the matrix has: which fault happens to how many nodes, on which brokers, with which queues. */
import { type BrokerKind, brokerKinds, kindName } from "../../tools/broker.ts";
import { type Fault, faults } from "./faults.ts";

/** The kind of the nodes' queues: `[bridge] queue_type`. */
export type QueueType = "quorum" | "classic";

/** One of the matrix. */
export interface Cell {
  readonly kind: BrokerKind;
  /** Whether the brokers are configured as docs/bridge.md recommends for quorum queues. */
  readonly isTuned: boolean;
  readonly queueType: QueueType;
  /** How many nodes there are. */
  readonly nodes: number;
  readonly fault: Fault;
}

/** Cells that differ in the kind of queues only: the same fault on the same brokers hits all of them at once. */
export type Scene = readonly Cell[];

/** Every cell, in the order in which they run. */
export const cells: readonly Cell[] = brokerKinds.toReversed().flatMap((kind) =>
  [false, true].flatMap((isTuned) =>
    [2, 3].flatMap((nodes) =>
      faults.flatMap((fault) =>
        (["quorum", "classic"] as const).map((queueType) => ({
          ...{ kind, isTuned, queueType, nodes, fault },
        }))
      )
    )
  )
).filter(isOfInterest);

/** Tells whether a cell may show something else than others do. */
function isOfInterest(
  { kind, isTuned, queueType, nodes, fault: { name } }: Cell,
): boolean {
  if (kind.database === "mnesia" && !isTuned) return true;
  if (nodes > 2 || isTuned && queueType === "classic") return false;
  return name === "hang" || name === "partition" ||
    name === "kill-queue" && !isTuned;
}

/** Gets one word for a cell's brokers, such as `4.0-khepri-tuned`. */
export function brokersOf({ kind, isTuned }: Cell): string {
  return `${kindName(kind)}${isTuned ? "-tuned" : ""}`;
}

/** Gets a cell's name: its four words, such as `4.0 quorum 2-nodes kill-queue`. */
export function nameOf(cell: Cell): string {
  const { queueType, nodes, fault } = cell;
  return `${brokersOf(cell)} ${queueType} ${nodes}-nodes ${fault.name}`;
}

/**
 * Gets the cells that have all the words of one of the `wanted` names, or all if
 * nothing is wanted.
 *
 * @throws {RangeError} If one of these fits none.
 */
export function select(wanted: readonly string[]): Cell[] {
  const fits = (cell: Cell, words: string): boolean =>
    words.trim().split(/\s+/).every((word) =>
      nameOf(cell).split(" ").includes(word)
    );
  for (const words of wanted) {
    if (!cells.some((cell) => fits(cell, words))) {
      throw new RangeError(
        `Cannot find "${words}": expected words of a name as --list prints them`,
      );
    }
  }
  return cells.filter((cell) =>
    wanted.length === 0 || wanted.some((words) => fits(cell, words))
  );
}

/** Gets `some` cells as scenes. */
export function scenes(some: readonly Cell[]): Scene[] {
  const groups = Map.groupBy(
    some,
    (cell) => `${brokersOf(cell)} ${cell.nodes} ${cell.fault.name}`,
  );
  return [...groups.values()];
}
