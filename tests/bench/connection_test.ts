/** The clients of tests and benchmark tell how a connection ended. */
import assert from "node:assert/strict";
import { TempFolder } from "../../tools/folder.ts";
import {
  closePayload,
  concat,
  frameBytes,
  opcodes,
} from "../../tools/frames.ts";
import { Clients } from "../../tools/ws_client.ts";

const { text, close } = opcodes;
const accepted = "HTTP/1.1 101 Yes\r\n" +
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const bad = frameBytes(text, Uint8Array.of(0xff), { mask: false });
const closing = (code: number): Uint8Array =>
  frameBytes(close, closePayload(code, "why"), { mask: false });

/** What a server says with its 101, and what comes of it when the client leaves then, or not. */
const endings: [says: Uint8Array, leaves: boolean, ending: object][] = [
  [closing(4000), false, { by: "server", code: 4000, reason: "why" }],
  [closing(1000), true, { by: "client", code: 1000, reason: "why" }],
  [new Uint8Array(), false, { by: "nobody", code: 1006, reason: "" }],
  [bad, false, { by: "nobody", code: 1002, reason: "a text that isn't UTF-8" }],
];

for (const [says, leaves, ending] of endings) {
  Deno.test(`Client.closed says ${JSON.stringify(ending)}`, async () => {
    await using folder = await TempFolder.make();
    const path = `${folder.path}/s`;
    using listener = Deno.listen({ transport: "unix", path });
    await using clients = new Clients(path);
    const joining = clients.join("/channel");
    using server = await listener.accept();
    const head = new TextEncoder().encode(accepted);
    await server.write(leaves ? head : concat([head, says]));
    const client = await joining;
    if (leaves) {
      client.close(1000);
      await server.write(says);
    }
    await server.closeWrite();
    assert.deepEqual(await client.closed, ending);
  });
}
