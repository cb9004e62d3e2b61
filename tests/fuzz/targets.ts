/** Everything that is fuzzed. */
import { broker } from "./broker.ts";
import { decoderTargets } from "./decoders.ts";
import { frames } from "./frames.ts";
import { parserTargets } from "./parsers.ts";
import { adminRequests, requests } from "./requests.ts";
import type { AnyTarget } from "./target.ts";

/** Every target, in the order in which they run. */
export const targets: readonly AnyTarget[] = [
  ...parserTargets,
  ...decoderTargets,
  frames,
  requests,
  adminRequests,
  broker,
];
