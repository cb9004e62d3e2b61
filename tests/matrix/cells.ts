/** What the matrix has: which fault happens to how many nodes, on which brokers, with which queues. */
import type { BrokerVersion } from "../helpers/broker_programs.ts";
import { type Fault, faults } from "./faults.ts";

/** The kind of the nodes' queues: `[bridge] queue_type`. */
export type QueueType = "quorum" | "classic";

/** One of the matrix. */
export interface Cell {
  readonly version: BrokerVersion;
  readonly queueType: QueueType;
  /** How many nodes there are. */
  readonly nodes: number;
  readonly fault: Fault;
}

/** Cells that differ in the kind of queues only: the same fault on the same brokers hits all of them at once. */
export type Scene = readonly Cell[];

/** Every cell, in the order in which they run. */
export const cells: readonly Cell[] = (["4.0", "3.10"] as const).flatMap(
  (version) =>
    [2, 3].flatMap((nodes) =>
      faults.flatMap((fault) =>
        (["quorum", "classic"] as const).map((queueType) => ({
          version,
          queueType,
          nodes,
          fault,
        }))
      )
    ),
);

/** Gets a cell's name: its four words, such as `4.0 quorum 2-nodes kill-queue`. */
export function nameOf({ version, queueType, nodes, fault }: Cell): string {
  return `${version} ${queueType} ${nodes}-nodes ${fault.name}`;
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
    ({ version, nodes, fault }) => `${version} ${nodes} ${fault.name}`,
  );
  return [...groups.values()];
}
