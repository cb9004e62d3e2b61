/**
 * Pieces that are written together are copied into one, and in a fan-out many
 * connections have the same pieces waiting: the copy is made once for all.
 */
import { joinFrames } from "./frames.ts";

let latest: {
  readonly pieces: readonly Uint8Array<ArrayBuffer>[];
  readonly copy: Uint8Array<ArrayBuffer>;
} | undefined;

/** Gets `pieces` as one, which may be the one that an earlier call got. None of them may change afterwards. */
export function copyTogether(
  pieces: readonly Uint8Array<ArrayBuffer>[],
): Uint8Array<ArrayBuffer> {
  if (
    latest?.pieces.length === pieces.length &&
    latest.pieces.every((piece, i) => piece === pieces[i])
  ) return latest.copy;
  // What nobody else has isn't kept for longer than this turn of the event loop.
  if (latest === undefined) setImmediate(() => latest = undefined);
  latest = { pieces, copy: joinFrames(pieces) };
  return latest.copy;
}
