/** Puts the counts of a run where people read them. */
import { machine } from "../../bench/machine.ts";
import { writeBetween } from "../../bench/page.ts";
import type { Report } from "./run.ts";

const page = new URL("../../docs/reliability.md", import.meta.url);

/**
 * Replaces what stands between the marks in docs/reliability.md.
 *
 * @throws {Error} If the page lacks a mark.
 */
export async function writeDocs(
  reports: readonly Report[],
  { seed }: { seed: number },
): Promise<void> {
  await writeBetween(page, {
    begin: "<!-- Written by `deno task fuzz --write-docs`, never by hand. -->",
    end: "<!-- End of what is written by the fuzzer. -->",
    body: table(reports, { seed, machine: await machine() }),
  });
}

function table(
  reports: readonly Report[],
  { seed, machine }: { seed: number; machine: string },
): string {
  const total = reports.reduce((sum, { inputs }) => sum + inputs, 0);
  const minutes = reports.reduce((sum, { seconds }) => sum + seconds, 0) / 60;
  const rows = reports.map(({ target, inputs, counts }) => {
    const more = Object.entries(counts).map(([name, count]) =>
      `${group(count)} ${name}`
    ).join(", ");
    return `| \`${target.name}\` | ${target.about} | ${
      group(inputs)
    } | ${more} |`;
  });
  return [
    `Seed ${seed}, ${new Date().toISOString().slice(0, 10)}: ${
      group(total)
    } inputs in ${Math.round(minutes)} minutes, on ${machine}. None did harm.`,
    "",
    "| target | what is tried | inputs | checked meanwhile |",
    "| --- | --- | ---: | --- |",
    ...rows,
    "",
  ].join("\n");
}

function group(count: number): string {
  return count.toLocaleString("en-US");
}
