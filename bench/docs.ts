/** Puts the results of a run where people read them. */
import { writeBetween, writeFormatted } from "./page.ts";
import { charts, markdown, type Results } from "./report.ts";

const page = new URL("../docs/benchmarks.md", import.meta.url);
const folder = new URL("../docs/benchmarks/", import.meta.url);

/**
 * Replaces what stands between the marks in docs/benchmarks.md, and the charts.
 *
 * @throws {Error} If the page lacks a mark.
 */
export async function writeDocs(results: Results): Promise<void> {
  await writeBetween(page, {
    begin: "<!-- Written by `deno task bench --write-docs`, never by hand. -->",
    end: "<!-- End of what is written by the benchmark. -->",
    body: markdown(results, { chartFolder: "benchmarks" }),
  });
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, chart] of charts(results)) {
    await writeFormatted(new URL(name, folder), chart);
  }
}
