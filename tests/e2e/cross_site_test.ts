/** Web pages in a real browser, Chromium, behind the shipped nginx example: those of other sites can't use staps. */
import assert from "node:assert/strict";
import { within } from "../../tools/eventually.ts";
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

/** A page that tries everything in the channel at `url`, and tells `resultUrl`. */
function page(url: string, resultUrl: string): string {
  const script = `
    const [url, resultUrl] = ${JSON.stringify([url, resultUrl])};
    const opening = (source) => new Promise((resolve) => {
      source.onopen = () => resolve("open");
      source.onerror = () => resolve("error");
    });
    const form = document.forms[0];
    const posted = new Promise((resolve) => frames[0].frameElement.onload = resolve);
    form.submit();
    (async () => {
      await posted;
      const socket = new WebSocket(url.replace("http", "ws"));
      const webSocket = await opening(socket);
      if (webSocket === "open") socket.send("by WebSocket");
      const eventSource = await opening(new EventSource(url));
      // The page can't see whether that is answered.
      const headers = { Accept: "text/event-stream" };
      await fetch(url, { mode: "no-cors", headers });
      const answer = await fetch(url, { method: "POST", body: "by fetch" })
        .then(({ status }) => status, ({ message }) => message);
      const body = JSON.stringify({ webSocket, fetch: answer, eventSource });
      await fetch(resultUrl, { method: "POST", mode: "no-cors", body });
    })();`;
  return `<!DOCTYPE html><title>test</title>
<iframe name="frame"></iframe>
<form method="post" action="${url}" target="frame"><input name="by" value="form"></form>
<script>${script}</script>`;
}

/** A server of another site, which hands out one page and gets what it saw. */
interface OtherSite extends AsyncDisposable {
  readonly origin: string;
  readonly result: Promise<Attempts>;
}

/** Starts one with the page that `makeHtml` makes for its origin. */
function startSite(makeHtml: (origin: string) => string): OtherSite {
  const { promise: result, resolve } = Promise.withResolvers<Attempts>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request): Promise<Response> => {
      if (request.method === "POST") {
        resolve(await request.json());
        return new Response();
      }
      const headers = { "Content-Type": "text/html" };
      return new Response(makeHtml(origin), { headers });
    },
  );
  const origin = `http://127.0.0.1:${server.addr.port}`;
  return {
    origin,
    result,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** Lets Chromium open `url` until `result` is there. */
async function browse<T>(url: string, result: Promise<T>): Promise<T> {
  await ensurePackages(["chromium-headless-shell"]);
  await using browser = new Process(chromium, [
    // Root has no other way.
    ...["--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", url],
  ]);
  try {
    return await within(result, "what the page saw");
  } catch (error) {
    throw new Error(browser.output, { cause: error });
  } finally {
    // Killed, it would leave its processes behind.
    await browser.stop("SIGTERM");
  }
}

Deno.test("pages of other sites can't use staps, and those of its own can", async (t) => {
  await using staps = await startStaps({ through: inFrontendGroup });
  await Deno.chmod(staps.folder, 0o755);
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
    await using site = startSite((origin) => page(server + path, origin));
    assert.deepEqual(await browse(site.origin, site.result), {
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
    const path = newPath();
    const member = await clients.join(path);
    await using site = startSite((origin) => page(server + path, origin));
    const html = await (await fetch(site.origin)).text();
    await Deno.writeTextFile(pageFile, html);
    assert.deepEqual(await browse(`${server}/page.html`, site.result), {
      webSocket: "open",
      fetch: 200,
      eventSource: "open",
    });
    const got = await member.take(3);
    assert.deepEqual(got, ["by=form", "by WebSocket", "by fetch"]);
  });
});
