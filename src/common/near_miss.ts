/** Finds what somebody meant who mistyped a name. */

/**
 * Gets the one of `names` that `typed` is most likely a slip of, or
 * `undefined` if none is close. Letter case and `-` for `_` don't count; an
 * inserted, left-out, wrong or swapped letter is one mistake, and a name may
 * have one for every three letters.
 */
export function nearMiss(
  typed: string,
  names: Iterable<string>,
): string | undefined {
  // Nothing longer can be close to our names, and the time grows with length.
  if (typed.length > 64) return undefined;
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const name of names) {
    const distance = editDistance(normalize(typed), normalize(name));
    if (distance <= Math.floor(name.length / 3) && distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

function normalize(name: string): string {
  return name.toLowerCase().replaceAll("-", "_");
}

/** Counts the mistakes between two words (optimal string alignment distance). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const wrong = a[i - 1] === b[j - 1] ? 0 : 1;
      let distance = Math.min(
        last[j]! + 1,
        row[j - 1]! + 1,
        last[j - 1]! + wrong,
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        distance = Math.min(distance, beforeLast[j - 2]! + 1);
      }
      row.push(distance);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}
