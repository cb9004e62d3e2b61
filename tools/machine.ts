/** The machine that something is measured on. */

/** Gets what results depend on: processor, kernel and runtimes. */
export async function machine(): Promise<string> {
  const text = await Deno.readTextFile("/proc/cpuinfo");
  const model = /^model name\s*: (.*)$/m.exec(text)?.[1] ?? "unknown";
  const node = new TextDecoder().decode(
    (await new Deno.Command("node", { args: ["--version"] }).output()).stdout,
  );
  const kernel = `Linux ${Deno.osRelease()}`;
  return `${navigator.hardwareConcurrency} cores of ${model}, ${kernel}, Deno ${Deno.version.deno}, Node ${node.trim()}`;
}
