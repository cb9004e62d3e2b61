/** Puts the counts of a run where people read them. */
import type { Report } from "./run.ts";

const begin =
  "<!-- Written by `deno task fuzz --write-docs`, never by hand. -->";
const end = "<!-- End of what is written by the fuzzer. -->";
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
  const text = await Deno.readTextFile(page);
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) {
    throw new Error(
      `Cannot write ${page.pathname}: a mark is missing, expected "${begin}" and "${end}"`,
    );
  }
  await Deno.writeTextFile(
    page,
    `${text.slice(0, from)}${begin}\n\n${table(reports, seed)}\n${
      text.slice(to)
    }`,
  );
}

function table(reports: readonly Report[], seed: number): string {
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
    `The latest run of this kind, with seed ${seed}: ${
      group(total)
    } inputs in ${
      Math.round(minutes)
    } minutes on two processor cores; none did harm.`,
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
