/**
 * Loaded into a running staps before it starts (`deno run --preload`): on
 * SIGUSR2 it tries what staps shouldn't be able to do any more, and prints what
 * came of it as one line of JSON on standard error.
 */
import process from "node:process";

/** The attempts by name, each with the error's name, or `done`. */
export type Rights = Readonly<Record<string, string>>;

const [allowed, forbidden] = (Deno.env.get("STAPS_PROBE") ?? "").split(":");

const attempts: Record<string, () => unknown> = {
  "read the configuration": () => Deno.readTextFile(allowed!),
  "read another file": () => Deno.readTextFile("/etc/passwd"),
  "list a folder": () => Deno.readDirSync("/").next(),
  "write": () => Deno.writeTextFile(forbidden!, ""),
  "write the configuration": () => Deno.writeTextFile(allowed!, ""),
  "remove": () => Deno.remove(allowed!),
  "run": () => new Deno.Command("true").output(),
  "connect": () => Deno.connect({ hostname: "127.0.0.1", port: 9 }),
  "listen": () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
  "dial a unix socket": () =>
    Deno.connect({ transport: "unix", path: "/run/dbus/system_bus_socket" }),
  "look a name up": () => Deno.resolveDns("localhost", "A"),
  "read the environment": () => Deno.env.get("HOME"),
  "load a library": () => Deno.dlopen("libc.so.6", {}),
  "become root": () => process.setuid!(0),
  "import from the network": () => import(`http://127.0.0.1:9/${0}.ts`),
};

Deno.addSignalListener("SIGUSR2", async () => {
  const rights: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(attempts)) {
    try {
      await attempt();
      rights[name] = "done";
    } catch (error) {
      const { name: kind, message } = error as Error;
      rights[name] = /^Requires \w+ access/.test(message)
        ? "refused by the runtime"
        : `${kind}: ${message}`;
    }
  }
  Deno.stderr.writeSync(
    new TextEncoder().encode(`rights: ${JSON.stringify(rights)}\n`),
  );
});
