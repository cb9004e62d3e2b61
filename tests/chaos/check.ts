/**
 * Checks the history of a run once more, such as one that a failed run kept,
 * and prints the verdict; the exit status is 1 if a promise was broken:
 *
 *     deno run --allow-read tests/chaos/check.ts FOLDER/history.jsonl [classic|quorum]
 *
 * The second argument is what `deno task chaos --cluster` got.
 */
import { checkFile } from "./checker.ts";
import { protocol } from "./documented.ts";
import type { Brokers } from "./excuses.ts";

if (import.meta.main) {
  const [path = "history.jsonl", brokers = "one"] = Deno.args;
  const verdict = await checkFile(path, {
    protocol,
    // As node.ts configures its nodes.
    onOutage: "refuse",
    brokers: brokers as Brokers,
  });
  const text = JSON.stringify(verdict, undefined, 2) + "\n";
  await new Response(text).body!.pipeTo(Deno.stdout.writable);
  Deno.exit(verdict.violationCount === 0 ? 0 : 1);
}
