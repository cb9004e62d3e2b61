import assert from "node:assert/strict";
import {
  type ResponseContext,
  writeResponse,
} from "../../src/listener/response.ts";
import { eventually } from "../../tools/eventually.ts";

interface Options {
  readonly method?: string;
  readonly minorVersion?: 0 | 1;
}

/** Begins to write `response`; `writes` gets one text a write, each byte one character. */
function write(
  response: Response,
  options: Options = {},
): { writes: string[]; done: Promise<void> } {
  const writes: string[] = [];
  const done = writeResponse(response, (bytes) => {
    writes.push(String.fromCharCode(...bytes));
    return Promise.resolve();
  }, context(options));
  return { writes, done };
}

function context(options: Options = {}): ResponseContext {
  const { signal } = new AbortController();
  return { method: "GET", minorVersion: 1, signal, ...options };
}

/** Gets the lines of the head without that of the date, and the body. */
function parts(text: string): { head: string[]; body: string } {
  const end = text.indexOf("\r\n\r\n");
  const lines = text.slice(0, end).split("\r\n");
  const head = lines.filter((line) => !line.startsWith("Date: "));
  assert.equal(head.length, lines.length - 1, "a date");
  return { head, body: text.slice(end + 4) };
}

/** A stream that begins with some parts, gives one more each time `next()` is called, and knows if it was cancelled. */
class Source {
  readonly stream: ReadableStream<Uint8Array>;
  pulls = 0;
  cancelled: unknown;
  #controller!: ReadableStreamDefaultController<Uint8Array>;

  constructor(...parts: string[]) {
    this.stream = new ReadableStream({
      start: (controller) => void (this.#controller = controller),
      pull: () => void this.pulls++,
      cancel: (reason) => void (this.cancelled = reason ?? "cancelled"),
    }, { highWaterMark: 0 });
    for (const part of parts) this.next(part);
  }

  next(text: string): void {
    this.#controller.enqueue(new TextEncoder().encode(text));
  }

  end(): void {
    this.#controller.close();
  }

  fail(error: unknown): void {
    this.#controller.error(error);
  }
}

const ownHeaders = {
  ...{ "Connection": "keep-alive", "Keep-Alive": "timeout=5" },
  ...{ "Content-Length": "99", "Transfer-Encoding": "gzip" },
};

/** Responses, and what is written of them: without its date, and with line feeds for line ends. */
const responses: readonly [name: string, Response, text: string][] = [
  [
    "a text with its length",
    new Response("hello", { status: 202, headers: { "X-A": "b" } }),
    "202 Accepted\ncontent-type: text/plain;charset=UTF-8\nx-a: b\nContent-Length: 5\nConnection: close\n\nhello",
  ],
  [
    "no header about the connection that is the handler's",
    new Response(null, { headers: ownHeaders }),
    "200 OK\nContent-Length: 0\nConnection: close\n\n",
  ],
  [
    "each Set-Cookie by itself, and characters as bytes",
    new Response(null, {
      headers: [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["X", "\xe9"]],
      statusText: "F\xefne",
    }),
    "200 F\xefne\nset-cookie: a=1\nset-cookie: b=2\nx: \xe9\nContent-Length: 0\nConnection: close\n\n",
  ],
  [
    "no length of a 204",
    new Response(null, { status: 204 }),
    "204 No Content\nConnection: close\n\n",
  ],
  [
    "no length of a 304",
    new Response(null, { status: 304 }),
    "304 \nConnection: close\n\n",
  ],
];
for (const [name, response, text] of responses) {
  Deno.test(`writeResponse() writes ${name}, in one write`, async () => {
    const { writes, done } = write(response);
    await done;
    const { head, body } = parts(writes.join(" and then "));
    assert.equal([...head, "", body].join("\n"), `HTTP/1.1 ${text}`);
  });
}

Deno.test("writeResponse() keeps a date of the handler's", async () => {
  const response = new Response(null, { headers: { "Date": "then" } });
  const { writes, done } = write(response);
  await done;
  assert.deepEqual(writes[0]!.match(/^date: .*$/gim), ["date: then"]);
});

Deno.test("writeResponse() answers HEAD with the head alone, also of a stream", async () => {
  const source = new Source("a");
  const { stream } = source;
  for (const response of [new Response("hello"), new Response(stream)]) {
    const { writes, done } = write(response, { method: "HEAD" });
    await done;
    assert.equal(writes.length, 1);
    const { head, body } = parts(writes[0]!);
    assert.match(
      head.at(-2)!,
      /^(Content-Length: 5|Transfer-Encoding: chunked)$/,
    );
    assert.equal(body, "");
  }
  assert.ok(source.cancelled);
});

const cases = [
  [1, (text: string) => `${text.length}\r\n${text}\r\n`, "0\r\n\r\n", true],
  [0, (text: string) => text, "", false],
] as const;
for (const [minorVersion, frame, end, header] of cases) {
  Deno.test(`writeResponse() writes a stream as it comes, in HTTP/1.${minorVersion}`, async () => {
    const source = new Source("one");
    const response = new Response(source.stream);
    const { writes, done } = write(response, { minorVersion });
    await eventually(() => writes.length > 0, "the first part");
    const { head, body } = parts(writes[0]!);
    assert.equal(head.includes("Transfer-Encoding: chunked"), header);
    assert.ok(!head.some((line) => line.startsWith("Content-Length")));
    assert.equal(body, frame("one"));
    source.next("");
    source.next("two");
    await eventually(() => writes.length > 1, "the second part");
    assert.equal(writes[1], frame("two"));
    source.end();
    await done;
    assert.equal(writes.slice(2).join(""), end);
  });
}

Deno.test("writeResponse() pulls no more of a stream than the peer takes", async () => {
  const source = new Source("one", "two");
  let writes = 0;
  let take!: () => void;
  const done = writeResponse(
    new Response(source.stream),
    () => {
      writes++;
      return new Promise((resolve) => take = resolve);
    },
    context(),
  );
  const isIdle = (): Promise<void> =>
    new Promise((resolve) => setTimeout(resolve, 20));
  await eventually(() => writes === 1, "the first write");
  // The second part is read to learn whether the first is the only one.
  const pulls = source.pulls;
  source.next("three");
  await isIdle();
  assert.equal(source.pulls, pulls);
  take();
  await eventually(() => writes === 2, "the second write");
  await isIdle();
  assert.equal(writes, 2);
  const timer = setInterval(() => take(), 1);
  await eventually(() => source.pulls > pulls, "a pull after the write");
  source.end();
  await done;
  clearInterval(timer);
});

Deno.test("writeResponse() cancels the stream when the peer is gone", async () => {
  const source = new Source("one");
  const broken = new Deno.errors.BrokenPipe("broken");
  const response = new Response(source.stream);
  const fail = (): Promise<never> => Promise.reject(broken);
  await assert.rejects(writeResponse(response, fail, context()), broken);
  assert.ok(source.cancelled);
});

Deno.test("writeResponse() ends without the last chunk when the stream fails", async () => {
  const source = new Source("one");
  const { writes, done } = write(new Response(source.stream));
  await eventually(() => writes.length > 0, "the first part");
  source.fail(new Error("broken source"));
  await assert.rejects(done, /broken source/);
  assert.equal(writes.length, 1);
});
