/**
 * Checks the history of a run once more, such as one that a failed run kept:
 *
 *     deno run --allow-read tests/chaos/check.ts FOLDER/history.jsonl [classic|quorum]
 *
 * The second argument is what `deno task chaos --cluster` got.
 * Prints the verdict as JSON. The exit status is 0 if every promise was kept,
 * 1 if not.
 */
import { protocol } from "./checked_crowd.ts";
import { checkFile } from "./checker.ts";
import type { Brokers } from "./excuses.ts";

if (import.meta.main) {
  const verdict = await checkFile(Deno.args[0] ?? "history.jsonl", {
    protocol,
    // As node.ts configures its nodes.
    onOutage: "refuse",
    brokers: (Deno.args[1] ?? "one") as Brokers,
  });
  const text = JSON.stringify(verdict, undefined, 2) + "\n";
  await new Response(text).body!.pipeTo(Deno.stdout.writable);
  Deno.exit(verdict.violationCount === 0 ? 0 : 1);
}
