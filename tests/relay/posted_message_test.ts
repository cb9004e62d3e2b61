import assert from "node:assert/strict";
import {
  isTextType,
  readPostedMessage,
} from "../../src/relay/posted_message.ts";
import { contentOf } from "../helpers/messages.ts";

const limits = { messageBytes: 10 };

async function read(
  body: string | Uint8Array<ArrayBuffer> | ReadableStream | null,
  headers: Record<string, string> = {},
): Promise<unknown> {
  const request = new Request("http://h/", { method: "POST", body });
  // A Request made of text has a type by itself.
  request.headers.delete("content-type");
  for (const [name, value] of Object.entries(headers)) {
    request.headers.set(name, value);
  }
  const message = await readPostedMessage(request, limits);
  return "status" in message ? message.status : contentOf(message);
}

Deno.test("isTextType() knows text, JSON, forms, and that without a type it is text", () => {
  const textTypes = [
    "",
    "text/plain",
    "TEXT/Markdown; charset=utf-8",
    "application/json",
    "application/json;charset=UTF-8",
    "application/vnd.github.v3+json",
    "application/x-www-form-urlencoded",
  ];
  for (const type of textTypes) assert.equal(isTextType(type), true, type);
  const others = [
    "application/octet-stream",
    "image/png",
    "multipart/form-data; boundary=text/plain",
    "text/",
    "texts/plain",
    "application/json5",
    "+json",
    "image/svg+xml",
  ];
  for (const type of others) assert.equal(isTextType(type), false, type);
});

Deno.test("readPostedMessage() gets text or bytes, empty ones too", async () => {
  const length = { "Content-Length": "5" };
  const binary = { ...length, "Content-Type": "application/octet-stream" };
  assert.equal(await read("hällo".slice(0, 4), length), "häll");
  assert.deepEqual(
    await read(new Uint8Array([0, 255]), binary),
    new Uint8Array([0, 255]),
  );
  assert.equal(await read(null, { "Content-Length": "0" }), "");
  assert.equal(await read("", { "Transfer-Encoding": "chunked" }), "");
});

// It did, and each may have 16 KiB around it.
Deno.test("readPostedMessage() keeps no part of a body", async () => {
  const part = new Uint8Array(1);
  const parts = function* (): Generator<Uint8Array> {
    for (const byte of new TextEncoder().encode("häppchen")) {
      part[0] = byte;
      yield part;
    }
  };
  const body = ReadableStream.from(parts());
  assert.equal(await read(body, { "transfer-encoding": "x" }), "häppchen");
});

Deno.test("readPostedMessage() refuses text that isn't UTF-8, too much, and bodies without a length", async () => {
  const chunked = { "Transfer-Encoding": "chunked" };
  assert.equal(await read(new Uint8Array([0xff]), chunked), 400);
  assert.equal(await read("a"), 411);
  assert.equal(await read("a", { "Content-Length": "11" }), 413);
  assert.equal(await read("a".repeat(11), chunked), 413);
  assert.equal(await read("a".repeat(10), chunked), "a".repeat(10));
});

Deno.test("readPostedMessage() reads nothing of a body that is announced as too large", async () => {
  let isRead = false;
  const body = new ReadableStream({
    pull: () => {
      isRead = true;
    },
  }, { highWaterMark: 0 });
  assert.equal(await read(body, { "Content-Length": "1000" }), 413);
  assert.equal(isRead, false);
});
