import assert from "node:assert/strict";
import {
  again,
  status,
  statusStatus,
} from "../../../src/commands/status/status.ts";
import { UsageError } from "../../../src/common/errors.ts";
import { commandContext } from "../../helpers/command_line.ts";
import { eventually, within } from "../../../tools/eventually.ts";
import { TempFolder } from "../../../tools/folder.ts";
import { nodeStatus } from "../../helpers/node_status.ts";

/** Answers on the admin socket `path` that the node is ready, or isn't. */
function admin(path: string, ready: boolean): Deno.HttpServer {
  return Deno.serve(
    { path, onListen: () => {} },
    () => Response.json({ ...nodeStatus, ready }),
  );
}

Deno.test("status.run() tells by its status whether the node is ready", async () => {
  await using folder = await TempFolder.make();
  for (const ready of [true, false]) {
    const socket = `${folder.path}/${ready}`;
    await using _admin = admin(socket, ready);
    const context = commandContext();
    const expected = statusStatus[ready ? "ready" : "notReady"];
    assert.equal(await status.run({ socket }, context), expected);
    assert.match(context.printed, /^staps 0\.1\.0, process 4711, /);
  }
});

Deno.test("status.run() asks on the socket of the configuration, or of an instance", async () => {
  await using folder = await TempFolder.make();
  const config = `${folder.path}/staps.conf`;
  const socket = `${folder.path}/s`;
  const run = (options: Parameters<typeof status.run>[0]): Promise<number> =>
    status.run(options, commandContext());
  await Deno.writeTextFile(config, "[admin]\n");
  await assert.rejects(run({ config }), {
    message: "Cannot ask: the configuration has no admin socket",
  });
  await Deno.writeTextFile(config, `[admin]\nsocket = ${socket}\n`);
  await assert.rejects(run({ config }), {
    message: `Cannot ask "${socket}": there is no such socket`,
  });
  await using _admin = admin(socket, true);
  assert.equal(await run({ config }), 0);
  await assert.rejects(run({ instance: "staps@none" }), {
    message: 'Cannot ask "/run/staps-none/admin.sock": there is no such socket',
  });
  const both = { instance: "staps@1", socket };
  await assert.rejects(run(both), UsageError);
});

Deno.test("status.run() watches until it is interrupted, through failures too", async () => {
  await using folder = await TempFolder.make();
  const socket = `${folder.path}/s`;
  const interruption = new AbortController();
  const context = commandContext({ interruption: () => interruption.signal });
  const running = status.run({ socket, watch: true }, context);
  await eventually(
    () => context.printed.includes("there is no such socket"),
    "the failure",
  );
  await using _admin = admin(socket, true);
  await eventually(
    () => context.printed.includes("\n\nstaps 0.1.0"),
    "the table below it",
  );
  interruption.abort(130);
  assert.equal(await within(running, "the end"), 130);
});

Deno.test("again() shows it in place on a terminal, else below", () => {
  const text = "a\nb\n";
  const show = (shownLines: number, inPlace: boolean): string =>
    again(text, { shownLines, inPlace });
  assert.equal(show(0, false), text);
  assert.equal(show(2, false), `\n${text}`);
  assert.equal(show(0, true), `\x1b[?7l${text}\x1b[?7h`);
  assert.equal(show(2, true), `\x1b[2A\x1b[J\x1b[?7l${text}\x1b[?7h`);
});
