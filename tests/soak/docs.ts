/** Puts the results of a run where people read them. */
import { writeBetween } from "../../bench/page.ts";
import { markdown } from "./report.ts";
import type { SoakResult } from "./run.ts";

const page = new URL("../../docs/reliability.md", import.meta.url);

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
