/**
 * Names for a channel that don't give its path away: whoever knows the path
 * may read and write, so nothing but the URL itself may carry it.
 */
import type { hash } from "node:crypto";
import process from "node:process";

let digest: typeof hash | undefined;

/**
 * Gets the name of the channel `path` for people: the first 12 hex digits of
 * {@linkcode channelKey}. Enough to follow a channel through a log.
 */
export function channelHash(path: string): string {
  return channelKey(path).slice(0, 12);
}

/**
 * Gets the name of the channel `path` for machines: its SHA-256 in 64
 * lower-case hex digits. Fits AMQP's routing keys (255 bytes at most) whatever
 * the path's length.
 */
export function channelKey(path: string): string {
  // Loaded when the first client comes: it would take a tenth of the start-up.
  digest ??= process.getBuiltinModule("node:crypto").hash;
  return digest("sha256", path, "hex");
}
