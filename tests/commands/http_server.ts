/** A server that isn't staps, for commands that ask one. */

/** Serves on a port of 127.0.0.1, over TLS with a certificate. */
export function serveHttp(
  handler: Deno.ServeHandler<Deno.NetAddr>,
  certificate?: { readonly cert: string; readonly key: string },
): Deno.HttpServer<Deno.NetAddr> {
  const address = { port: 0, hostname: "127.0.0.1", onListen: () => {} };
  if (certificate === undefined) return Deno.serve(address, handler);
  const { cert, key } = certificate;
  return Deno.serve({ ...address, cert, key }, handler);
}
