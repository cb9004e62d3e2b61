/** Channels for one question each: its answer, or the end of it, harms nobody else's. */
import type { Channel, Connection } from "./connect.ts";

/**
 * Gets what `act` gets on a channel of its own, which is closed then. The
 * broker closes it by itself where it answers "no".
 */
export async function onScratchChannel<T>(
  connection: Connection,
  act: (channel: Channel) => Promise<T>,
): Promise<T> {
  const channel = await connection.createChannel();
  // Without a listener an error would end the process.
  channel.on("error", () => {});
  try {
    const result = await act(channel);
    await channel.close();
    return result;
  } catch (error) {
    // It is closed already, unless it was `act` that gave up.
    channel.close().catch(() => {});
    throw error;
  }
}
