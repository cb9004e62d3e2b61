/** Web pages in a real browser, Chromium, behind the shipped nginx example: those of other sites can't use staps. */
import assert from "node:assert/strict";
import { eventually } from "../../tools/eventually.ts";
import { inFrontendGroup, startNginx } from "../helpers/nginx.ts";
import { ensurePackages } from "../../tools/packages.ts";
import { Process, startStaps } from "../../tools/process.ts";
import { newPath } from "../helpers/shared_staps.ts";
import { Clients } from "../../tools/ws_client.ts";

/** Not the script in /usr/bin, which passes no signals on. */
const chromium = "/usr/lib/chromium/chromium-headless-shell";

/** What a page saw of each way to reach a channel. */
interface Attempts {
  readonly webSocket: "open" | "error";
  /** The status, or why the browser gave none. */
  readonly fetch: number | string;
  readonly eventSource: "open" | "error";
}

/** A page that tries everything in the channel at `url`, and tells `/result` of its own server. */
function page(url: string, resultUrl: string): string {
  const script = `
    const opening = (source) => new Promise((resolve) => {
      source.onopen = () => resolve("open");
      source.onerror = () => resolve("error");
    });
    const form = document.forms[0];
    const posted = new Promise((resolve) => frames[0].frameElement.onload = resolve);
    form.submit();
    (async () => {
      await posted;
      const socket = new WebSocket(${
    JSON.stringify(url)
  }.replace("http", "ws"));
      const webSocket = await opening(socket);
      if (webSocket === "open") socket.send("by WebSocket");
      const events = new EventSource(${JSON.stringify(url)});
      const eventSource = await opening(events);
      // The page can't see whether that is answered.
      await fetch(${JSON.stringify(url)}, {
        mode: "no-cors",
        headers: { Accept: "text/event-stream" },
      });
      const answer = await fetch(${JSON.stringify(url)}, {
        method: "POST",
        body: "by fetch",
      }).then(({ status }) => status, ({ message }) => message);
      await fetch(${JSON.stringify(resultUrl)}, {
        method: "POST",
        mode: "no-cors",
        body: JSON.stringify({ webSocket, fetch: answer, eventSource }),
      });
    })();`;
  return `<!DOCTYPE html><title>test</title>
<iframe name="frame"></iframe>
<form method="post" action="${url}" target="frame"><input name="by" value="form"></form>
<script>${script}</script>`;
}

/** A server of another site, which hands out one page and gets what it saw. */
class OtherSite implements AsyncDisposable {
  readonly #result = Promise.withResolvers<Attempts>();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  html = "";

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request) => {
        if (request.method !== "POST") {
          return new Response(this.html, {
            headers: { "Content-Type": "text/html" },
          });
        }
        this.#result.resolve(await request.json());
        return new Response();
      },
    );
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** What the page saw. */
  get result(): Promise<Attempts> {
    return this.#result.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** Lets Chromium open `url` until `result` is there. */
async function browse<T>(url: string, result: Promise<T>): Promise<T> {
  await ensurePackages(["chromium-headless-shell"]);
  await using browser = new Process(chromium, [
    // Root has no other way.
    "--no-sandbox",
    "--disable-gpu",
    "--remote-debugging-port=0",
    url,
  ]);
  let got: T | undefined;
  void result.then((value) => got = value);
  try {
    return await eventually(
      () => got,
      () => `what the page saw: ${browser.output}`,
    );
  } finally {
    // Killed, it would leave its processes behind.
    await browser.stop("SIGTERM");
  }
}

Deno.test("pages of other sites can't use staps, and those of its own can", async (t) => {
  await using staps = await startStaps({ through: inFrontendGroup });
  await Deno.chmod(staps.folder, 0o755);
  await using site = new OtherSite();
  const pageFile = `${staps.folder}/page.html`;
  await using nginx = await startNginx({
    socket: staps.socket,
    replace: [[
      "    location / {\n",
      `    location = /page.html {\n        alias ${pageFile};\n` +
      "        default_type text/html;\n    }\n    location / {\n",
    ]],
  });
  const server = `http://127.0.0.1:${nginx.port}`;
  await using clients = new Clients(staps.socket);

  await t.step("refused", async () => {
    const path = newPath();
    const member = await clients.join(path);
    site.html = page(server + path, `${site.origin}/result`);
    const result = await browse(site.origin, site.result);
    assert.deepEqual(result, {
      webSocket: "error",
      fetch: "Failed to fetch",
      eventSource: "error",
    });
    // Nobody else is a member, and whatever had come would be before this.
    const post = await fetch(server + path, { method: "POST", body: "last" });
    assert.deepEqual(await post.json(), { members: 1 });
    assert.equal(await member.next(), "last");
  });

  await t.step("allowed", async () => {
    await using own = new OtherSite();
    const path = newPath();
    const member = await clients.join(path);
    await Deno.writeTextFile(pageFile, page(server + path, own.origin));
    const result = await browse(`${server}/page.html`, own.result);
    assert.deepEqual(result, {
      webSocket: "open",
      fetch: 200,
      eventSource: "open",
    });
    const got = [await member.next(), await member.next(), await member.next()];
    assert.deepEqual(got, ["by=form", "by WebSocket", "by fetch"]);
  });
});
