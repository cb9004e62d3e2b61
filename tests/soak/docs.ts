/** Puts the results of a run where people read them. */
import { writeBetween, writeFormatted } from "../../bench/page.ts";
import { charts, markdown } from "./report.ts";
import type { SoakResult } from "./run.ts";

const page = new URL("../../docs/reliability.md", import.meta.url);
const folder = new URL("../../docs/reliability/", import.meta.url);

/**
 * Replaces the results between the marks in docs/reliability.md, and the charts.
 *
 * @throws {Error} If the page lacks a mark.
 */
export async function writeDocs(result: SoakResult): Promise<void> {
  const images = charts(result);
  await writeBetween(page, {
    begin: "<!-- Written by `deno task soak --write-docs`, never by hand. -->",
    end: "<!-- End of what is written by the soak. -->",
    body: [
      await markdown(result),
      ...[...images].map(([name, { title }]) =>
        `![${title}](reliability/soak-${name})\n`
      ),
    ].join("\n"),
  });
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, { svg }] of images) {
    await writeFormatted(new URL(`soak-${name}`, folder), svg);
  }
}
