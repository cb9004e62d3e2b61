/** Whoever answers on an admin socket may be no staps. */
import assert from "node:assert/strict";
import { askAdmin } from "../../src/commands/ask_admin.ts";
import { StartupError } from "../../src/common/errors.ts";
import { TempFolder } from "../../tools/folder.ts";
import { nodeStatus } from "../helpers/node_status.ts";

/** Gets the error of asking a server that answers each request with what `answer` gives. */
async function refusal(answer: () => Response): Promise<string> {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/s`;
  await using _server = Deno.serve({ path, onListen: () => {} }, answer);
  const error = await askAdmin(path).catch((error) => error);
  assert.ok(error instanceof StartupError, String(error));
  return error.message.replace(`Cannot ask "${path}": `, "");
}

Deno.test("askAdmin() takes what is a status only, and follows no redirection", async () => {
  const headers = { location: "/status" };
  const moved = new Response(null, { status: 302, headers });
  const cases: [answer: Response, message: RegExp][] = [
    [new Response("\x1b[2J"), /^that is no staps: the answer isn't JSON$/],
    [
      Response.json([]),
      /^that is no staps, .*: the answer is a list, expected/,
    ],
    [
      Response.json({ ...nodeStatus, pid: "\x1b" }),
      /"pid" is a text, expected/,
    ],
    [
      new Response(null, { status: 500 }),
      /^got HTTP status 500, expected 200$/,
    ],
    [moved, /^got HTTP status 302, expected 200$/],
  ];
  for (const [answer, message] of cases) {
    let asked = 0;
    const found = await refusal(() => {
      asked++;
      return answer;
    });
    assert.match(found, message);
    assert.equal(asked, 1);
  }
});

Deno.test("askAdmin() reads no more of an answer than one may have", async () => {
  let given = 0;
  const endless = new ReadableStream({
    pull(controller): void {
      given += 16 * 1024;
      controller.enqueue(new Uint8Array(16 * 1024).fill(32));
    },
  });
  const message = await refusal(() => new Response(endless));
  assert.equal(message, "the answer has more than 64 KiB");
  assert.ok(given < 16 << 20, `${given} bytes were taken`);
});

Deno.test("askAdmin() waits for the end of an answer for a limited time", async () => {
  const stalled = new ReadableStream({
    start: (controller) => controller.enqueue(new Uint8Array([49])),
  });
  const message = await refusal(() => new Response(stalled));
  assert.equal(message, "no whole answer in 5 s");
});
