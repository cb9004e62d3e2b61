/** Steps of a test that wait most of the time, and so run at the same time. */

/** Runs `steps`, by their names, all at the same time. Resolves when the last one has ended; the test fails if one does. */
export async function stepsTogether(
  t: Deno.TestContext,
  steps: Readonly<Record<string, () => Promise<void>>>,
): Promise<void> {
  await Promise.all(
    Object.entries(steps).map(([name, fn]) =>
      // The sanitizers can't tell one step from another.
      t.step({
        ...{ name, fn },
        ...{ sanitizeOps: false, sanitizeResources: false },
        sanitizeExit: false,
      })
    ),
  );
}
