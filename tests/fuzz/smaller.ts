/** Inputs of any target, as people read them, and parts of them that may do the same. */

/** Gets an input as it is printed: binary data as text if it is ASCII, else in hexadecimal digits. */
export function shown(input: unknown): string {
  return JSON.stringify(input, (_, value) => {
    if (typeof value === "bigint") return `${value}`;
    if (!(value instanceof Uint8Array)) return value;
    const text = new TextDecoder("latin1").decode(value);
    return /^[\t\r\n\x20-\x7e]+$/.test(text) ? { text } : value.toHex();
  });
}

/**
 * Gets inputs that are a part of `input`, the smallest of each kind first: with
 * fewer items, bytes or characters in one place.
 *
 * @param fixed The names of properties that stay as they are.
 */
export function* smaller(
  input: unknown,
  fixed: readonly string[] = [],
): Generator<unknown> {
  if (typeof input === "string") {
    for (const letters of shorter([...input])) yield letters.join("");
  } else if (input instanceof Uint8Array) {
    for (const bytes of shorter([...input])) yield Uint8Array.from(bytes);
  } else if (Array.isArray(input)) {
    yield* shorter(input);
    for (const [i, item] of input.entries()) {
      for (const less of smaller(item, fixed)) yield input.with(i, less);
    }
  } else if (typeof input === "object" && input !== null) {
    for (const [name, item] of Object.entries(input)) {
      if (fixed.includes(name)) continue;
      for (const less of smaller(item, fixed)) yield { ...input, [name]: less };
    }
  }
}

/** Gets parts of a list: without a half, a quarter, … an item of it. */
function* shorter<T>(list: readonly T[]): Generator<T[]> {
  for (let size = list.length; size > 1;) {
    size = Math.ceil(size / 2);
    for (let from = 0; from < list.length; from += size) {
      yield [...list.slice(0, from), ...list.slice(from + size)];
    }
  }
  if (list.length === 1) yield [];
}
