/** Everything that is fuzzed. */
import { broker } from "./broker.ts";
import { connectionTargets } from "./connections.ts";
import { decoderTargets } from "./decoders.ts";
import { handshakes } from "./handshakes.ts";
import { heads } from "./heads.ts";
import { listeners } from "./listeners.ts";
import { reader } from "./reader.ts";
import type { AnyTarget } from "./target.ts";

/** Every target, in the order in which they run. */
export const targets: readonly AnyTarget[] = [
  ...decoderTargets,
  reader,
  heads,
  handshakes,
  listeners,
  ...connectionTargets,
  broker,
];
