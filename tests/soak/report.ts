/** What a run found, as people read it. */
import { machine } from "../../tools/machine.ts";
import { writeBetween } from "../../tools/page.ts";
import { markdown } from "../../tools/table.ts";
import type { SoakResult } from "./run.ts";

const page = new URL("../../docs/reliability.md", import.meta.url);

/** Gets whether nothing was found that isn't flat. */
export function isFlat({ findings }: SoakResult): boolean {
  return findings.every(({ isFlat }) => isFlat !== false);
}

/** Gets the verdict as Markdown: a paragraph on the run, and a table. */
export async function markdownOf(result: SoakResult): Promise<string> {
  const { counts, seconds, seed, findings } = result;
  const time = new Date().toISOString().slice(0, 16);
  const count = (name: keyof typeof counts): string =>
    counts[name].toLocaleString("en");
  const paragraph = `${time}Z, ${await machine()}. ${
    (seconds / 60).toFixed(1)
  } minutes with seed ${seed}: ${count("connections")} clients joined, ${
    count("hangUps")
  } hung up before their handshake was answered, ${
    count("refused")
  } handshakes were refused while the broker was away; ${
    count("messages")
  } messages became ${
    count("deliveries")
  } deliveries, each of them checked. ${counts.slowReaders} clients didn't read, and the broker cut all connections ${counts.brokerCuts} times.`;
  const rows = findings.map(({ about, what, found, allowed, isFlat }) => {
    const verdict = isFlat ? "flat" : "**not flat**";
    return [
      ...[about, what, found, allowed],
      isFlat === undefined ? "not judged" : verdict,
    ].map((cell) => cell.replaceAll(/\s+/g, " ").replaceAll("|", "\\|"));
  });
  const columns = ["process", "what", "found", "allowed", "verdict"];
  return `${paragraph}\n\n${markdown({ columns, rows })}`;
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
    body: await markdownOf(result),
  });
}
