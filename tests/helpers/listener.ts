/** Which listener the tests run on, and what they leave out on the runtime's. */

/** The own listener, or what the environment variable `STAPS_LISTENER` says: that of `[staps] listener`, so that programs started here have it, too. */
export const testListener = Deno.env.get("STAPS_LISTENER") === "runtime"
  ? "runtime"
  : "own";

/** The configuration that chooses {@linkcode testListener}. */
export const listenerConfig = `[staps]\nlistener = ${testListener}\n`;

/** What the runtime's listener can't do; docs/listener.md tells more. */
const runtimeLacks = {
  oneRequest: "the runtime's listener answers what comes behind a refusal, too",
  brake: "the runtime's listener can hold no sender",
  framing: "the runtime's listener lets frames through that break RFC 6455",
  fewRefusals: "the runtime's listener refuses everybody in words",
  heads: "the runtime's listener has its own limits for heads, and HTTP/2",
} as const;

/** Gets why a test can't run on {@linkcode testListener}, if it needs `what`; for `testUnless()`. */
export function lacking(what: keyof typeof runtimeLacks): string | undefined {
  return testListener === "runtime" ? runtimeLacks[what] : undefined;
}
