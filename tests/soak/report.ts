/** What a run found, as people read it. */
import { machine } from "../../bench/machine.ts";
import { type Finding, usedBytes } from "./analysis.ts";
import type { QuietMoment, SoakResult } from "./run.ts";

const MiB = 2 ** 20;

/** Gets whether nothing was found that isn't flat. */
export function isFlat(result: SoakResult): boolean {
  return result.findings.every(([, { isFlat }]) => isFlat !== false);
}

/** Gets a line about a quiet moment. */
export function quietLine(
  { atS, joins, deliveries, samples }: QuietMoment,
): string {
  const processes = samples.map(([name, sample]) =>
    `${name}: ${mib(sample.residentBytes)} MiB, ${
      mib(usedBytes(sample))
    } of it in use, ${sample.fds} fds`
  );
  return `${minutes(atS)} min, ${count(joins)} joins, ${
    count(deliveries)
  } deliveries; ${processes.join("; ")}`;
}

/** Gets the verdict as Markdown: a paragraph on the run, and a table. */
export async function markdown(result: SoakResult): Promise<string> {
  const { tally, seconds, seed, slowReaders, brokerCuts, findings } = result;
  const slow = Object.values(slowReaders).reduce((sum, n) => sum + n, 0);
  return [
    `${new Date().toISOString().slice(0, 16)}Z, ${await machine()}. ` +
    `${minutes(seconds)} minutes with seed ${seed}: ${
      count(tally.connections)
    } clients joined, ${count(tally.hangUps)} hung up before their handshake ` +
    `was answered, ${
      count(tally.refused)
    } handshakes were refused while the broker was away; ` +
    `${count(tally.messages)} messages became ${
      count(tally.deliveries)
    } deliveries, each of them checked. ${slow} clients didn't read, and the ` +
    `broker cut all connections ${brokerCuts} times.`,
    "",
    "| process | what | found | allowed | verdict |",
    "| --- | --- | --- | --- | --- |",
    ...findings.map(([about, finding]) => row(about, finding)),
    "",
  ].join("\n");
}

function row(about: string, { what, found, allowed, isFlat }: Finding): string {
  const verdict = isFlat === undefined
    ? "not judged"
    : isFlat
    ? "flat"
    : "**not flat**";
  const cells = [about, what, found, allowed, verdict]
    .map((cell) => cell.replaceAll(/\s+/g, " ").replaceAll("|", "\\|"));
  return `| ${cells.join(" | ")} |`;
}

function mib(bytes: number): string {
  return (bytes / MiB).toFixed(0);
}

function minutes(seconds: number): string {
  return (seconds / 60).toFixed(1);
}

function count(value: number): string {
  return value.toLocaleString("en");
}
