/** Tests that only some machines, or one of the listeners, can run. */

/**
 * Registers the test `name`, or, where `reason` tells why this machine can't
 * run it, or this run's listener, a skipped one that carries the reason in its name, as the run's
 * report is made of names. `undefined` means that it can.
 */
export function testUnless(
  reason: string | undefined,
  test: { name: string; fn: (t: Deno.TestContext) => void | Promise<void> },
): void {
  if (reason === undefined) Deno.test(test);
  else {
    Deno.test({
      name: `${test.name} (skipped: ${reason})`,
      ignore: true,
      fn: test.fn,
    });
  }
}
