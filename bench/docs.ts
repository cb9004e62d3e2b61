/** Puts the results of a run where people read them. */
import { charts, markdown, type Results } from "./report.ts";

const begin =
  "<!-- Written by `deno task bench --write-docs`, never by hand. -->";
const end = "<!-- End of what is written by the benchmark. -->";
const page = new URL("../docs/benchmarks.md", import.meta.url);
const folder = new URL("../docs/benchmarks/", import.meta.url);

/**
 * Replaces what stands between the marks in docs/benchmarks.md, and the charts.
 *
 * @throws {Error} If the page lacks a mark.
 */
export async function writeDocs(results: Results): Promise<void> {
  const text = await Deno.readTextFile(page);
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) {
    throw new Error(
      `Cannot write ${page.pathname}: a mark is missing, expected "${begin}" and "${end}"`,
    );
  }
  const body = markdown(results, { chartFolder: "benchmarks" });
  await Deno.writeTextFile(
    page,
    `${text.slice(0, from)}${begin}\n\n${body}\n${text.slice(to)}`,
  );
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, chart] of charts(results)) {
    await Deno.writeTextFile(new URL(name, folder), chart);
  }
}
