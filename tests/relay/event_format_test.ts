import assert from "node:assert/strict";
import { joinFrames } from "../../src/listener/frames.ts";
import { closeEvent, eventsOf } from "../../src/relay/event_format.ts";
import { type Content, messageOf } from "../helpers/messages.ts";

function show(...contents: Content[]): string {
  const frames = contents.map((content) => messageOf(content).frame);
  return new TextDecoder("utf-8", { ignoreBOM: true })
    .decode(eventsOf(joinFrames(frames)));
}

Deno.test("eventsOf() makes text data lines, one for each of its own", () => {
  assert.equal(show("hello"), "data: hello\n\n");
  assert.equal(show(" a\nb\n"), "data:  a\ndata: b\ndata: \n\n");
  assert.equal(show(""), "data: \n\n");
  assert.equal(show("\ufeffé😀\0"), "data: \ufeffé😀\0\n\n");
});

Deno.test("eventsOf() makes base64 of what no data line can carry", () => {
  assert.equal(
    show(new Uint8Array([0, 255, 13])),
    "event: binary\ndata: AP8N\n\n",
  );
  assert.equal(show(new Uint8Array()), "event: binary\ndata: \n\n");
  assert.equal(show("a\r\nb"), "event: text\ndata: YQ0KYg==\n\n");
});

Deno.test("eventsOf() makes many messages many events, and once for all who listen", () => {
  assert.equal(
    show("a", new Uint8Array([1]), "b".repeat(70_000), "c".repeat(200)),
    `data: a\n\nevent: binary\ndata: AQ==\n\ndata: ${"b".repeat(70_000)}\n\n` +
      `data: ${"c".repeat(200)}\n\n`,
  );
  const { frame } = messageOf("a");
  assert.equal(eventsOf(frame), eventsOf(frame));
});

Deno.test("closeEvent() tells code and reason, and when to come back", () => {
  const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  assert.equal(
    decode(closeEvent(4000, "reads too slowly")),
    'event: close\ndata: {"code":4000,"reason":"reads too slowly"}\n\n',
  );
  assert.equal(
    decode(closeEvent(1001, "service restart, retry=250")),
    'event: close\nretry: 250\ndata: {"code":1001,"reason":"service restart, retry=250"}\n\n',
  );
});
