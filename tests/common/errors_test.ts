import assert from "node:assert/strict";
import {
  AdminError,
  ConfigError,
  StartupError,
  UsageError,
} from "../../src/common/errors.ts";

Deno.test("each AdminError has a name, an exit status, a hint and a cause", () => {
  const cause = new Error("why");
  const cases = [
    [StartupError, 1],
    [UsageError, 2],
    [ConfigError, 78], // EX_CONFIG, sysexits.h
  ] as const;
  for (const [Class, exitCode] of cases) {
    const error = new Class("what", { hint: "try", cause });
    assert.ok(error instanceof AdminError);
    const { name, message, hint } = error;
    assert.deepEqual(
      { name, message, hint, cause: error.cause, exitCode: error.exitCode },
      { name: Class.name, message: "what", hint: "try", cause, exitCode },
    );
  }
  assert.equal(new UsageError("what").hint, undefined);
});

Deno.test("UsageError quotes no path and no password of a URL", () => {
  const { message } = new UsageError(
    'Unknown "wss://me:hunter2@example.org/c0ffee?x", expected amqp://u:p@host/vhost or http://host',
  );
  assert.equal(
    message,
    'Unknown "wss://...@example.org/...", expected amqp://...@host/... or http://host',
  );
});
