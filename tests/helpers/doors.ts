/** The two ways to a node: its own socket, and nginx with the shipped example. */
import { type Nginx, startNginx } from "./nginx.ts";
import { type Staps, type StapsOptions, startStaps } from "./process.ts";
import type { Target } from "./raw_client.ts";

/** A running node, and where its clients connect to. */
export interface Door extends AsyncDisposable {
  readonly staps: Staps;
  readonly target: Target;
  /** The same for {@linkcode Clients}. */
  readonly server: string;
}

/** The names of the two ways. */
export const doorNames = ["direct", "through nginx"] as const;

/** Starts a node, and nginx if that is the way, without its limits per address: all clients have the same here. */
export async function openDoor(
  name: typeof doorNames[number],
  { config = "", ...options }: StapsOptions = {},
): Promise<Door> {
  const staps = await startStaps({
    ...options,
    config: config.includes("[staps]")
      ? config
      : `[staps]\nmode = 0666\n${config}`,
  });
  let nginx: Nginx | undefined;
  try {
    if (name === "through nginx") {
      await Deno.chmod(staps.folder, 0o755);
      nginx = await startNginx({
        socket: staps.socket,
        replace: [
          ["rate=50r/s", "rate=100000r/s"],
          [
            "limit_conn staps_connections 1000",
            "limit_conn staps_connections 60000",
          ],
          [
            "limit_req zone=staps_handshakes burst=1000 nodelay",
            "limit_req zone=staps_handshakes burst=100000 nodelay",
          ],
        ],
      });
    }
  } catch (error) {
    await staps[Symbol.asyncDispose]();
    throw error;
  }
  return {
    staps,
    target: nginx === undefined
      ? { socket: staps.socket }
      : { port: nginx.port },
    server: nginx === undefined ? staps.socket : nginx.url,
    async [Symbol.asyncDispose](): Promise<void> {
      await nginx?.[Symbol.asyncDispose]();
      await staps[Symbol.asyncDispose]();
    },
  };
}

/** Registers a test for each way. */
export function testDoors(
  name: string,
  test: (door: Door) => Promise<void>,
  options: StapsOptions = {},
): void {
  for (const doorName of doorNames) {
    Deno.test(`${name}, ${doorName}`, async () => {
      await using door = await openDoor(doorName, options);
      await test(door);
    });
  }
}
