/** Waiting for a while, and waiting no longer than that. */

/** Resolves after `ms` milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Gets what `promise` resolves with, or what `late` returns if that takes more
 * than `timeoutMs` milliseconds. What comes of `promise` later is ignored, its
 * rejection too.
 *
 * @param late May throw; without it the result is `undefined`.
 */
export async function within<T, L = undefined>(
  promise: Promise<T>,
  timeoutMs: number,
  late?: () => L,
): Promise<T | L> {
  const { promise: over, resolve } = Promise.withResolvers<typeof isLate>();
  const timer = setTimeout(() => resolve(isLate), timeoutMs);
  try {
    const first = await Promise.race([promise, over]);
    return first === isLate ? late?.() as L : first;
  } finally {
    clearTimeout(timer);
  }
}

const isLate = Symbol();
