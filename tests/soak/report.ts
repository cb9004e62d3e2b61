/** What a run found, as people read it. */
import { machine } from "../../tools/machine.ts";
import { writeBetween } from "../../tools/page.ts";
import { type Finding, usedBytes } from "./analysis.ts";
import type { QuietMoment, SoakResult } from "./run.ts";

const MiB = 2 ** 20;
const page = new URL("../../docs/reliability.md", import.meta.url);

/** Gets whether nothing was found that isn't flat. */
export function isFlat(result: SoakResult): boolean {
  return result.findings.every(([, { isFlat }]) => isFlat !== false);
}

/** Gets a line about a quiet moment. */
export function quietLine(
  { atS, connections, deliveries, samples }: QuietMoment,
): string {
  const processes = samples.map(([name, sample]) =>
    `${name}: ${mib(sample.residentBytes)} MiB, ${
      mib(usedBytes(sample))
    } of it in use, ${sample.fds} fds`
  );
  return `${minutes(atS)} min, ${count(connections)} joins, ${
    count(deliveries)
  } deliveries; ${processes.join("; ")}`;
}

/** Gets the verdict as Markdown: a paragraph on the run, and a table. */
export async function markdown(result: SoakResult): Promise<string> {
  const { totals, seconds, seed, findings } = result;
  return [
    `${new Date().toISOString().slice(0, 16)}Z, ${await machine()}. ` +
    `${minutes(seconds)} minutes with seed ${seed}: ${
      count(totals.connections)
    } clients joined, ${
      count(result.hangUps)
    } hung up before their handshake ` +
    `was answered, ${
      count(totals.refused)
    } handshakes were refused while the broker was away; ` +
    `${count(totals.messages)} messages became ${
      count(totals.deliveries)
    } deliveries, each of them checked. ${result.slowReaders} clients didn't read, and the ` +
    `broker cut all connections ${result.brokerCuts} times.`,
    "",
    "| process | what | found | allowed | verdict |",
    "| --- | --- | --- | --- | --- |",
    ...findings.map(([about, finding]) => row(about, finding)),
    "",
  ].join("\n");
}

/**
 * Replaces the results between the marks in docs/reliability.md.
 *
 * @throws {Error} If the page lacks a mark.
 */
export async function writeDocs(result: SoakResult): Promise<void> {
  await writeBetween(page, {
    begin: "<!-- Written by `deno task soak --write-docs`, never by hand. -->",
    end: "<!-- End of what is written by the soak. -->",
    body: await markdown(result),
  });
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
