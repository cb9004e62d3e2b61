/** What a process holds, from outside (proc(5)). */
import assert from "node:assert/strict";

/** Gets the resident memory of the process `pid` in bytes. */
export function residentBytes(pid: number): Promise<number> {
  return statusBytes(pid, "VmRSS");
}

/** Checks that the process `pid` never has `mostMib` more resident memory than now while `act` goes on. */
export async function assertTakesLess(
  { pid, mostMib }: { pid: number; mostMib: number },
  act: () => Promise<void>,
): Promise<void> {
  const before = await residentBytes(pid);
  // The peak begins anew.
  await Deno.writeTextFile(`/proc/${pid}/clear_refs`, "5");
  await act();
  const more = (await statusBytes(pid, "VmHWM") - before) / 1024 / 1024;
  assert.ok(more < mostMib, `Expected less than ${mostMib} MiB, got ${more}`);
}

/** Gets how many descriptors the process `pid` has open. */
export async function openDescriptors(pid: number): Promise<number> {
  return (await Array.fromAsync(Deno.readDir(`/proc/${pid}/fd`))).length;
}

/** Gets the processes that the process `pid` has begotten, if it has one thread. */
export async function childrenOf(pid: number): Promise<number[]> {
  const text = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`);
  return text.trim().split(" ").filter(Boolean).map(Number);
}

async function statusBytes(pid: number, field: string): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status);
  return Number(match![1]) * 1024;
}
