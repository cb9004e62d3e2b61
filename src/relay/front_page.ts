/**
 * What `/` shows to people: how to use this server, with the URL of a channel
 * that nobody else has. The page has no scripts, and nothing of it is kept.
 */

/** Characters that no host has; others are shown to nobody. */
const hostPattern = /^(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~-]+)(?::\d{1,5})?$/;

/** Tells whether `request` asks for the front page. */
export function asksForFrontPage(
  { method, headers }: Request,
  path: string,
): boolean {
  return path === "/" && (method === "GET" || method === "HEAD") &&
    !headers.has("upgrade");
}

/** Gets the front page: a small HTML page for browsers, plain text for everybody else. */
export function frontPage({ method, headers }: Request): Response {
  const text = usage(freshUrls(headers));
  const isHtml = takesHtml(headers.get("accept") ?? "");
  return new Response(method === "HEAD" ? null : isHtml ? page(text) : text, {
    headers: {
      "Content-Type": `text/${isHtml ? "html" : "plain"}; charset=utf-8`,
      "Cache-Control": "no-store",
      "Vary": "Accept",
      "Content-Security-Policy":
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
      "Referrer-Policy": "no-referrer",
      "X-Content-Type-Options": "nosniff",
      "Connection": "close",
    },
  });
}

/** The URL of one channel, for both protocols. */
interface Urls {
  readonly ws: string;
  readonly http: string;
}

/** Gets the URLs of a channel that nobody else has, as this server is reached by whoever asks. */
function freshUrls(headers: Headers): Urls {
  const host = headers.get("host") ?? "";
  // A frontend that ends TLS says so; behind several, the first one said it.
  const proto = headers.get("x-forwarded-proto")?.split(",", 1)[0]?.trim();
  const s = proto?.toLowerCase() === "https" ? "s" : "";
  const rest = `${s}://${hostPattern.test(host) ? host : "localhost"}/` +
    crypto.randomUUID();
  return { ws: `ws${rest}`, http: `http${rest}` };
}

/** Tells whether the header Accept (RFC 9110 section 12.5.1) names HTML. */
function takesHtml(accept: string): boolean {
  return accept.split(",").some((item) => {
    const [type, ...parameters] = item.toLowerCase().split(";");
    return type!.trim() === "text/html" &&
      !parameters.some((one) => /^\s*q=0(\.0*)?\s*$/.test(one));
  });
}

function usage({ ws, http }: Urls): string {
  return `\
staps: temporary publish/subscribe channels

Everybody who connects to the same URL is in one channel, and gets what the
others send. This is the URL of a fresh one, which nobody else has:

    ${ws}

The URL is the secret: whoever has it can read and write. Give it only to those
who are to take part. Load this page again for another one.

Talk from a terminal:

    staps join ${ws}
    websocat ${ws}

Without WebSocket, publish and listen:

    curl --data-binary 'hello' ${http}
    curl -N -H 'Accept: text/event-stream' ${http}

Python (pip install websockets):

    from websockets.sync.client import connect
    with connect("${ws}") as channel:
        channel.send("hello")
        for message in channel:
            print(message)

JavaScript:

    const channel = new WebSocket("${ws}");
    channel.onopen = () => channel.send("hello");
    channel.onmessage = ({ data }) => console.log(data);

Nothing is kept: who isn't connected gets nothing. Web pages of other sites
can't use this server.
`;
}

/** Gets `text` as an HTML page. Its paragraphs that are indented become code. */
function page(text: string): string {
  const [title, ...paragraphs] = text.trim().split("\n\n");
  const body = paragraphs.map((paragraph) =>
    paragraph.startsWith("    ")
      ? `<pre>${escaped(paragraph.replace(/^ {4}/gm, ""))}</pre>`
      : `<p>${escaped(paragraph)}</p>`
  );
  return `\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>staps</title>
<style>
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font-family: sans-serif; line-height: 1.5 }
pre { padding: .7rem; overflow: auto; background: #8882 }
</style>
</head>
<body>
<h1>${escaped(title!)}</h1>
${body.join("\n")}
</body>
</html>
`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
    .replaceAll('"', "&quot;");
}
