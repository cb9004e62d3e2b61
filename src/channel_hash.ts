/**
 * Names for a channel that don't give its path away: whoever knows the path
 * may read and write, so nothing but the URL itself may carry it.
 */
import { createHash } from "node:crypto";

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
  return createHash("sha256").update(path).digest("hex");
}
