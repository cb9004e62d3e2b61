// Runs a peer, and watches how late a timer of 1 ms fires in it. At SIGUSR2 it
// appends the percentiles since the last one to a file.
// Arguments: "staps" or "relay", then a socket, after a configuration for staps.
// Opened now: later staps gives up the permission.
const file = Deno.openSync(Deno.env.get("STAPS_BENCH_PAUSES")!, {
  create: true,
  append: true,
});
let lateMs: number[] = [];
let due = performance.now() + 1;

function tick(): void {
  const now = performance.now();
  lateMs.push(Math.max(0, now - due));
  due = now + 1;
  setTimeout(tick, 1);
}
setTimeout(tick, 1);

Deno.addSignalListener("SIGUSR2", () => {
  const sorted = lateMs.sort((a, b) => a - b);
  lateMs = [];
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const line = JSON.stringify({
    count: sorted.length,
    p50: at(0.5),
    p99: at(0.99),
    p999: at(0.999),
    max: at(1),
  });
  file.writeSync(new TextEncoder().encode(line + "\n"));
});

if (Deno.args[0] === "relay") {
  await import("./relay.ts");
} else {
  const { serve } = await import("../../src/node.ts");
  const [config, socket] = Deno.args.slice(1) as [string, string];
  await serve({ config, socket });
}
