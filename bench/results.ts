/** Everything that a run found, and how its figures relate. */
import { ratio, spread } from "../tools/statistics.ts";
import type { ConnectRow, Row, Slice } from "./measure.ts";
import type { PeerName } from "./peers.ts";
import type { TrafficWorkload } from "./workloads.ts";

/** Everything that a run found. */
export interface Results {
  /** ISO 8601, UTC. */
  date: string;
  machine: string;
  /** How much was measured, as sentences. */
  effort: string;
  traffic: TrafficResult[];
  /** One row for each number of clients and peer. */
  idle: ConnectRow[];
  /** One row for each peer. */
  storms: ConnectRow[];
}

/** What one workload showed. */
export interface TrafficResult {
  workload: TrafficWorkload;
  rows: Row[];
}

/** The main figure: CPU time of the server for each delivery, in microseconds. */
export const cpu = (slice: Slice): number => slice.serverUsPerDelivery;

/** Gets the median over the rounds; NaN if there are none. */
export function median(
  row: Row | undefined,
  get: (slice: Slice) => number,
): number {
  return spread(row?.slices.map(get) ?? []).median;
}

/** Gets a peer's row; undefined if it took no part. */
export function rowOf<R extends { peer: PeerName }>(
  rows: readonly R[],
  peer: PeerName,
): R | undefined {
  return rows.find((row) => row.peer === peer);
}

/** Gets how many times as much CPU a delivery costs on `a` as on `b`; NaN if one of them took no part. */
export function cpuRatio(
  rows: readonly Row[],
  a: PeerName,
  b: PeerName,
): number {
  const costs = (peer: PeerName): number[] =>
    rowOf(rows, peer)?.slices.map(cpu) ?? [];
  return ratio(costs(a), costs(b)).median;
}

/** Gets the staps that other peers are compared with: the one that clients reach the same way. */
export function ownPeer(rows: readonly Row[]): "staps" | "staps-nginx" {
  return rowOf(rows, "staps-nginx") ? "staps-nginx" : "staps";
}

/** Gets what failed, one line each. */
export function failures({ traffic, idle, storms }: Results): string[] {
  const all = [
    ...traffic.flatMap(({ workload, rows }) =>
      rows.map((row) => ({ ...row, where: workload.name }))
    ),
    ...[...idle, ...storms]
      .map((row) => ({ ...row, where: `${row.clients} connects` })),
  ];
  return all.filter(({ failure }) => failure !== undefined)
    .map(({ peer, where, failure }) => `${peer} in ${where}: ${failure}`);
}
