import assert from "node:assert/strict";
import { frontPage } from "../../src/relay/front_page.ts";
import { request } from "../helpers/http.ts";
import { startServer } from "../helpers/server.ts";

const uuid4 =
  "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";

async function show(
  headers: Record<string, string>,
  method = "GET",
): Promise<{ type: string; text: string }> {
  const request = new Request("http://h/", { method, headers });
  const response = frontPage(request);
  assert.equal(response.headers.get("cache-control"), "no-store");
  return {
    type: response.headers.get("content-type")!,
    text: await response.text(),
  };
}

Deno.test("frontPage() shows how to talk, with a URL that nobody else has", async () => {
  const { type, text } = await show({ Host: "example.org:8080" });
  assert.equal(type, "text/plain; charset=utf-8");
  const url = new RegExp(`ws://example\\.org:8080/${uuid4}`).exec(text)?.[0];
  assert.ok(url);
  assert.ok(text.includes(`staps join ${url}`));
  assert.ok(text.includes(url.replace("ws:", "http:")));
  assert.match(text, /The URL is the secret/);
  assert.ok(text.split("\n").every((line) => line.length <= 110));
  const again = await show({ Host: "example.org:8080" });
  assert.ok(!again.text.includes(url));
});

Deno.test("frontPage() has TLS in its URLs where a frontend says so", async () => {
  const headers = { Host: "example.org" };
  for (const proto of ["https", "HTTPS", "https, http"]) {
    const { text } = await show({ ...headers, "X-Forwarded-Proto": proto });
    assert.match(text, /wss:\/\/example\.org\/.*https:\/\/example\.org\//s);
    assert.doesNotMatch(text, /\b(ws|http):\/\//);
  }
  const { text } = await show({ ...headers, "X-Forwarded-Proto": "http" });
  assert.doesNotMatch(text, /\b(wss|https):\/\//);
});

Deno.test("frontPage() is a page without scripts for whoever takes HTML", async () => {
  const Host = "example.org";
  const forHtml = [
    "text/html",
    "text/html,application/xhtml+xml,*/*;q=0.8",
    "text/plain, Text/HTML;q=0.1",
  ];
  for (const Accept of forHtml) {
    const { type, text } = await show({ Host, Accept });
    assert.equal(type, "text/html; charset=utf-8", Accept);
    assert.match(text, /^<!DOCTYPE html>.*<\/html>\n$/s);
    assert.doesNotMatch(text, /<script|\son\w+=|src=/i);
    assert.match(text, new RegExp(`ws://example\\.org/${uuid4}`));
  }
  for (const Accept of ["*/*", "text/plain", "text/html;q=0", "text/htmlx"]) {
    assert.match((await show({ Host, Accept })).type, /^text\/plain/, Accept);
  }
});

Deno.test("frontPage() quotes no host that is none", async () => {
  for (
    const host of ["<script>", "a b", "evil/", 'a"b', "a@b", "a:b", "a'b", ""]
  ) {
    const { text } = await show({ Host: host, Accept: "text/html" });
    assert.match(text, new RegExp(`ws://localhost/${uuid4}`), host);
    if (host !== "") assert.ok(!text.includes(`//${host}`), host);
  }
});

Deno.test("Server shows the front page at / only, to GET and HEAD, and counts it", async () => {
  await using server = await startServer();
  const get = await request(server);
  assert.equal(get.status, 200);
  assert.match(get.text, /^staps: /);
  const head = await request(server, { method: "HEAD", path: "/?x" });
  assert.equal(head.status, 200);
  assert.equal(head.text, "");
  assert.equal((await request(server, { path: "/x" })).status, 426);
  assert.equal((await request(server, { method: "PUT" })).status, 405);
  assert.equal(server.server.metrics.httpRequests.front_page, 2);
  // It is a channel all the same.
  const [a, b] = [await server.connect("/"), await server.connect("/")];
  a.send("hello");
  assert.equal(await b.next(), "hello");
});

Deno.test("Server shows no front page where the settings say so", async () => {
  await using server = await startServer({ http: { frontPage: "no" } });
  assert.equal((await request(server)).status, 426);
  assert.equal(
    (await request(server, { method: "HEAD" })).status,
    405,
  );
});
