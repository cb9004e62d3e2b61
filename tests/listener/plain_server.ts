/** A program that answers on the unix socket that its argument names, for tests of what a whole process does. */
import { serve } from "../../src/listener/serve.ts";

const server = serve({
  address: { path: Deno.args[0]! },
  handshakeTimeoutS: () => 30,
  bodyBytes: () => 0,
  maxConnections: () => 1000,
  maxOverloaded: 4,
  overloaded: () => new Response("full", { status: 503 }),
  onError: (error) => {
    throw error;
  },
}, () => new Response("hi"));
// The runtime (2.9.6) sets up its handling of signals a moment after the start,
// and panics if there is no descriptor left for it. This does it now.
Deno.addSignalListener("SIGUSR2", () => {});
await Deno.stdout.write(new TextEncoder().encode("ready\n"));
await server.finished;
