/** Waiting for events, each with a limit that only a hang reaches. */

/** How long a test waits for an event before it fails, in milliseconds. */
export const eventTimeoutMs = 30_000;

/** How often {@linkcode eventually} looks, in milliseconds. */
const pollMs = 20;

/**
 * Gets what `promise` resolves to.
 *
 * @throws {Error} If that takes more than `timeoutMs` milliseconds; the message names `what`.
 */
export async function within<T>(
  promise: Promise<T>,
  what: string,
  { timeoutMs = eventTimeoutMs }: { timeoutMs?: number } = {},
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`Waited ${timeoutMs / 1000} s in vain for ${what}`)),
    timeoutMs,
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Resolves when `look` returns something truthy, with that. For what sends no
 * event, such as the descriptors of another process.
 *
 * @throws {Error} If that takes more than `timeoutMs` milliseconds. `what` names
 * it, or is called at the end to tell the state.
 */
export async function eventually<T>(
  look: () => T | Promise<T>,
  what: string | (() => string | Promise<string>),
  { timeoutMs = eventTimeoutMs }: { timeoutMs?: number } = {},
): Promise<NonNullable<T>> {
  const endMs = Date.now() + timeoutMs;
  while (true) {
    const result = await look();
    if (result) return result;
    if (Date.now() > endMs) {
      const name = typeof what === "string" ? what : await what();
      throw new Error(`Waited ${timeoutMs / 1000} s in vain for ${name}`);
    }
    await pause(pollMs);
  }
}

/** Resolves after `ms` milliseconds. To create a situation, never to wait for one. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Rejects when `signal` says so. */
export function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    const abort = (): void => reject(new Error("The run was interrupted"));
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort);
  });
}
