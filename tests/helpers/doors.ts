/** The two ways to a node: its own socket, and nginx with the shipped example. */
import { startNginx } from "./nginx.ts";
import {
  type Staps,
  type StapsOptions,
  startStaps,
} from "../../tools/process.ts";
import type { Target } from "../../tools/raw_client.ts";

/** A running node, and where its clients connect to. */
export interface Door {
  readonly staps: Staps;
  readonly target: Target;
  /** The same for {@linkcode Clients}. */
  readonly server: string;
}

/** The shipped limits per address, raised: all clients have the same here. */
const noLimits = [
  ["rate=50r/s", "rate=100000r/s"],
  ["staps_connections 1000", "staps_connections 60000"],
  ["burst=1000 nodelay", "burst=100000 nodelay"],
] as const;

/** Registers a test of both ways, one after the other, each with a node of its own. */
export function testDoors(
  name: string,
  test: (door: Door) => Promise<void>,
  { config = "", ...options }: StapsOptions = {},
): void {
  const start = (): Promise<Staps> =>
    startStaps({ ...options, config: `[staps]\nmode = 0666\n${config}` });
  Deno.test(name, async (t) => {
    await t.step("direct", async () => {
      await using staps = await start();
      const { socket } = staps;
      await test({ staps, target: { socket }, server: socket });
    });
    await t.step("through nginx", async () => {
      await using staps = await start();
      await Deno.chmod(staps.folder, 0o755);
      const { socket } = staps;
      await using nginx = await startNginx({ socket, replace: noLimits });
      await test({ staps, target: nginx, server: nginx.url });
    });
  });
}
