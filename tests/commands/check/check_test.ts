import assert from "node:assert/strict";
import { BrokerError } from "../../../src/amqp/broker_error.ts";
import { explainRefusal } from "../../../src/amqp/refusal.ts";
import {
  check,
  checkStatus,
  render,
} from "../../../src/commands/check/check.ts";
import { checkDescriptors } from "../../../src/commands/check/descriptors.ts";
import type { Finding } from "../../../src/commands/check/finding.ts";
import { checkFrontend } from "../../../src/commands/check/frontend.ts";
import { brokerUrl } from "../../../tools/bridge_options.ts";
import { commandContext } from "../../helpers/command_line.ts";
import { block } from "../../helpers/docs.ts";
import { TempFolder } from "../../../tools/folder.ts";

Deno.test("check.run() tells by its status that a server wouldn't start, and refuses a user who doesn't exist", async () => {
  await using folder = await TempFolder.make();
  const config = `${folder.path}/staps.conf`;
  await Deno.writeTextFile(config, "[staps]\nmode = 9\n");
  const context = commandContext();
  const status = await check.run({ config, json: true }, context);
  assert.equal(status, checkStatus.configuration);
  const { ok, findings } = JSON.parse(context.printed);
  assert.equal(ok, false);
  assert.match(findings[0].message, /Cannot read "mode" in .* line 2/);
  const nobody = check.run({ user: "nobody-at-all" }, context);
  await assert.rejects(nobody, {
    name: "UsageError",
    message: /there is none$/,
  });
});

Deno.test("docs/commands.md shows what staps check prints", async () => {
  const refusal = explainRefusal(
    new BrokerError(
      "403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. " +
        "For details see the broker logfile.",
      { code: 403, opening: { voice: "AMQP" } },
    ),
    brokerUrl("amqp://staps:wrong@localhost/"),
  );
  const ok = (check: Finding["check"], message: string) =>
    ({ check, level: "ok", message }) as const;
  const text = render([
    ok("configuration", "/etc/staps/staps.conf"),
    ok(
      "user",
      'checked for "staps", whom the systemd unit names; --user NAME checks for another',
    ),
    ok("socket", '"/run/staps/staps.sock" is free'),
    ...checkDescriptors(10_000, undefined).map((finding) => ({
      ...finding,
      level: "fail" as const,
      message:
        "a process started from here may open 1024 files, expected at least 11024 for 10000 clients",
      hint:
        "LimitNOFILE=11024 in the systemd unit, or ulimit -n 11024; or lower clients in [limits]",
    })),
    { ...ok("broker", refusal!.message), level: "fail", hint: refusal!.hint },
    // The folder is the root's, which everybody may pass through.
    ...checkFrontend({
      path: "/staps.sock",
      socket: { uid: 999, gid: 999, mode: 0o660 },
      frontend: { name: "www-data", uid: 33, gids: [33] },
      group: "staps",
      workers: [],
    }).map((finding) => ({
      ...finding,
      message: finding.message.replace("/staps.sock", "/run/staps/staps.sock"),
    })),
  ], commandContext());
  assert.equal(await block("docs/commands.md", "check"), text);
});
