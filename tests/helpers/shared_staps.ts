/** One staps for all tests of a file, and two clients on it that nothing may disturb. */
import assert from "node:assert/strict";
import {
  type Staps,
  type StapsOptions,
  startStaps,
} from "../../tools/process.ts";
import { type Client, Clients, converse } from "../../tools/ws_client.ts";

/** What {@linkcode shareStaps} keeps; only there while tests run. */
export interface SharedStaps {
  readonly staps: Staps;
  /** Makes well-behaved clients of it. */
  readonly clients: Clients;
  /**
   * Registers the last test of the file: the program ends in good order, and
   * has printed neither a stack trace nor a path that {@linkcode newPath} made.
   */
  testFarewell(): void;
}

/**
 * Starts staps before the first test of the file and ends it after the last.
 * Two clients stay connected all along: whatever a test does, after it they must
 * have got each other's messages and nothing else.
 *
 * Call it at the top of the file, and `testFarewell` at its end.
 */
export function shareStaps(options: StapsOptions = {}): SharedStaps {
  let staps: Staps | undefined;
  let clients: Clients | undefined;
  let innocent: [Client, Client] | undefined;
  let ended = false;

  Deno.test.beforeAll(async () => {
    staps = await startStaps(options);
    clients = new Clients(staps.socket);
    const path = newPath();
    innocent = [await clients.join(path), await clients.join(path)];
  });
  Deno.test.afterEach(async () => {
    if (ended) return;
    await converse(...innocent!);
    for (const client of innocent!) assert.deepEqual(client.untaken, []);
  });
  Deno.test.afterAll(async () => {
    await clients?.[Symbol.asyncDispose]();
    await staps?.[Symbol.asyncDispose]();
  });
  return {
    get staps(): Staps {
      return staps!;
    },
    get clients(): Clients {
      return clients!;
    },
    testFarewell(): void {
      Deno.test("afterwards staps ends in good order, having printed nothing it shouldn't", async () => {
        ended = true;
        const { code } = await staps!.stop();
        assert.equal(code, 0);
        assert.doesNotMatch(
          staps!.output,
          /uncaught|unhandled|Error:|\n\s+at /i,
        );
        assertNoPath(staps!.output, "staps's output");
      });
    },
  };
}

const paths: string[] = [];

/** Makes a channel's path that nobody else has. */
export function newPath(): string {
  const path = `/${crypto.randomUUID()}`;
  paths.push(path.slice(1));
  return path;
}

/** Checks that `text` contains none of the paths that {@linkcode newPath} made. */
export function assertNoPath(text: string, where: string): void {
  const folded = text.toLowerCase();
  for (const path of paths) {
    assert.ok(
      !folded.includes(path),
      `Expected no channel's path in ${where}, got "${path}"`,
    );
  }
}
