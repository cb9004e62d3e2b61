/** docs/get-started.md, done as it says; tests/e2e/quickstart_test.ts does the README with the real npx. */
import assert from "node:assert/strict";
import { block } from "../helpers/docs.ts";
import { eventually } from "../../tools/eventually.ts";
import { exists } from "../../tools/folder.ts";
import { type Replacement, replaceOnce } from "../helpers/nginx.ts";
import { type Process, repository, runOrThrow } from "../../tools/process.ts";
import { Shells } from "../helpers/shells.ts";

const page = "docs/get-started.md";

/** In the place of npx: what that would download is running this test. */
const npx = `[ "$1 $2" = "--yes deno@${Deno.version.deno}" ] || exit 9
shift 2
exec '${Deno.execPath()}' "$@"`;

Deno.test("docs/get-started.md leads to two people who talk, and to a server on a socket", async () => {
  await using stack = new AsyncDisposableStack();
  const shells = stack.use(await Shells.make({ npx }));
  const { path } = shells.folder;
  const needed = ["main.ts", "src", "scripts", "deno.json", "deno.lock"];
  await runOrThrow("cp", [
    ...["-r", ...needed.map((name) => `${repository}/${name}`), path],
  ]);
  /** Runs the block `name` as if pasted into a terminal, with what differs here replaced. */
  const paste = async (
    name: string,
    ...replace: Replacement[]
  ): Promise<Process> => {
    const code = replaceOnce(await block(page, name), replace);
    const env = { HOME: path, NO_COLOR: "1" };
    const options = { env, stdin: "piped", detached: true } as const;
    return stack.use(shells.start(code, options));
  };
  const talk = async (
    one: Process,
    other: Process,
    server: Process,
  ): Promise<void> => {
    await eventually(
      () => server.output.split("client connected").length > 2,
      () => `two clients:\n${server.output}${one.output}${other.output}`,
    );
    for (const [from, to] of [[one, other], [other, one]] as const) {
      const line = crypto.randomUUID();
      await from.write(`${line}\n`);
      await to.printed(new RegExp(`^${line}$`, "m"));
    }
  };

  const dev = await paste("run");
  const [url] = await dev.printed(/ws:\/\/127\.0\.0\.1:\d+\/[0-9a-f-]{36}/);
  const printed = ["ws://127.0.0.1:7800/THE-UUID-IT-PRINTED", url] as const;
  await talk(await paste("talk", printed), await paste("talk", printed), dev);
  const fresh = await paste("url");
  await fresh.printed(/^ws:\/\/127\.0\.0\.1:7800\/[0-9a-f]{8}-[0-9a-f]{4}-4/m);

  const socket = `${path}/staps.sock`;
  const here = ["/tmp/staps.sock", socket] as const;
  const config = replaceOnce(await block(page, "config"), [here]);
  await Deno.writeTextFile(`${path}/staps.conf`, config);
  const start = await paste("start");
  await start.printed(new RegExp(`listening on ${socket}$`, "m"));
  const one = await paste("join-socket", here);
  await talk(one, await paste("join-socket", here), start);
  // Ctrl-C goes to everything that runs in a terminal.
  await start.stop("SIGINT");
  await one.printed(/1001 service restart/);
  assert.ok(!await exists(socket));
});
