/** Whoever answers on an admin socket may be no staps. */
import assert from "node:assert/strict";
import { askAdmin } from "../../src/commands/ask_admin.ts";
import { StartupError } from "../../src/common/errors.ts";
import { writeAll } from "../../src/common/terminal.ts";
import { TempFolder } from "../../tools/folder.ts";
import { nodeStatus } from "../helpers/node_status.ts";

/** Gets the error of asking a server that answers each request with what `answer` gives. */
async function refusal(answer: () => Response): Promise<string> {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/s`;
  const server = Deno.serve({ path, onListen: () => {} }, answer);
  try {
    await askAdmin(path);
  } catch (error) {
    assert.ok(error instanceof StartupError, String(error));
    return error.message.replace(`Cannot ask "${path}": `, "");
  } finally {
    await server.shutdown();
  }
  throw new assert.AssertionError({ message: "it was taken" });
}

Deno.test("askAdmin() takes what is a status only, and follows no redirection", async () => {
  const headers = { location: "/status" };
  const cases: [answer: () => Response, message: RegExp][] = [
    [
      () => new Response("\x1b[2J"),
      /^that is no staps: the answer isn't JSON$/,
    ],
    [
      () => Response.json([]),
      /^that is no staps, .*: the answer is a list, expected an object$/,
    ],
    [
      () => Response.json({ ...nodeStatus, pid: "\x1b" }),
      /"pid" is a text, expected a number/,
    ],
    [
      () => new Response(null, { status: 500 }),
      /^got HTTP status 500, expected 200$/,
    ],
    [
      () => new Response(null, { status: 302, headers }),
      /^got HTTP status 302, expected 200$/,
    ],
  ];
  for (const [answer, message] of cases) {
    let asked = 0;
    const found = await refusal(() => {
      asked++;
      return answer();
    });
    assert.match(found, message);
    assert.equal(asked, 1);
  }
});

Deno.test("askAdmin() reads no more of an answer than one may have", async () => {
  let given = 0;
  const message = await refusal(() =>
    new Response(
      new ReadableStream({
        pull(controller): void {
          given += 16 * 1024;
          controller.enqueue(new Uint8Array(16 * 1024).fill(32));
        },
      }),
    )
  );
  assert.equal(message, "the answer has more than 64 KiB");
  assert.ok(given < 16 << 20, `${given} bytes were taken`);
});

Deno.test("askAdmin() waits for the end of an answer for a limited time", async () => {
  await using folder = await TempFolder.make();
  const path = `${folder.path}/s`;
  using listener = Deno.listen({ transport: "unix", path });
  const head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1";
  const taken: Deno.Conn[] = [];
  void (async () => {
    for await (const connection of listener) {
      taken.push(connection);
      // The first one only looks whether there is somebody.
      await writeAll(connection, head).catch(() => {});
    }
  })();
  await assert.rejects(askAdmin(path), {
    message: `Cannot ask "${path}": no whole answer in 5 s`,
  });
  for (const connection of taken) connection.close();
});
