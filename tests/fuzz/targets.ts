/** Everything that is fuzzed. */
import { broker } from "./broker.ts";
import { decoderTargets } from "./decoders.ts";
import { frames } from "./frames.ts";
import { handshakes } from "./handshakes.ts";
import { heads } from "./heads.ts";
import { listeners } from "./listeners.ts";
import { parserTargets } from "./parsers.ts";
import { adminRequests, requests } from "./requests.ts";
import { reader } from "./reader.ts";
import type { AnyTarget } from "./target.ts";

/** Every target, in the order in which they run. */
export const targets: readonly AnyTarget[] = [
  ...parserTargets,
  ...decoderTargets,
  reader,
  heads,
  handshakes,
  listeners,
  frames,
  requests,
  adminRequests,
  broker,
];
