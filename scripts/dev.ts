/** `deno task dev`: staps in the working folder, and a URL to try it with. */
import { log } from "../src/common/log.ts";
import { serve } from "../src/node.ts";

const folder = ".dev";
const configFile = `${folder}/staps.conf`;
const preferredPort = 7800;

function write(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

/** Gets the preferred port, or 0 for any if it is taken. */
function choosePort(): number {
  try {
    Deno.listen({ hostname: "127.0.0.1", port: preferredPort }).close();
    return preferredPort;
  } catch {
    return 0;
  }
}

Deno.mkdirSync(folder, { recursive: true });
try {
  Deno.writeTextFileSync(
    configFile,
    "# Settings for `deno task dev`; staps.conf.example lists them all.\n",
    { createNew: true },
  );
} catch (error) {
  if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
}

await serve({
  config: configFile,
  socket: `${folder}/staps.sock`,
  listen: { hostname: "127.0.0.1", port: choosePort() },
  onListening: (server) => {
    const { port } = server.addresses[1] as Deno.NetAddr;
    const url = `ws://127.0.0.1:${port}/${crypto.randomUUID()}`;
    const text = `
A channel of its own, fresh for this run:

    ${url}

Paste this into two terminals, and type: what you send in one appears in the other.

    npx --yes deno@2.9.6 task --quiet join ${url}

`;
    write(text);
  },
});
await log.flush();
write("\nstaps has stopped, its clients were told to come back. Goodbye!\n");
