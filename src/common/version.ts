/** The version of staps; `deno.json` carries the same (a test compares them). */
export const version = "0.1.0";

/**
 * Gets how this program was built: by `deno compile`, as what `scripts/` wrote
 * into it, or not at all.
 */
export function build(): string {
  if (Deno.build.standalone) return "deno compile";
  const { stapsBuild } = globalThis as { stapsBuild?: string };
  return stapsBuild ?? "source";
}
