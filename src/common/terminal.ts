/** What differs between a person's terminal and a pipe: colours, and what is safe to show. */

/** Colours by what they mean; see ECMA-48, SGR. */
const codes = {
  good: 32,
  bad: 31,
  doubtful: 33,
  quiet: 2,
  strong: 1,
} as const;

/** Writes `text` so that it means something, where there are colours. */
export type Paint = (meaning: keyof typeof codes, text: string) => string;

/**
 * Gets what paints text for a stream, or leaves it as it is: only terminals get
 * colours, and only if `NO_COLOR` is unset or empty (https://no-color.org).
 */
export function painter(
  stream: { isTerminal(): boolean },
  noColor: string | undefined,
): Paint {
  if (!stream.isTerminal() || (noColor ?? "") !== "") {
    return (_meaning, text) => text;
  }
  return (meaning, text) => `\x1b[${codes[meaning]}m${text}\x1b[0m`;
}

/** Replaces control and format characters as JSON writes them, so that JSON stays JSON. */
export function escapeControls(text: string): string {
  // Nearly all texts have none.
  if (!/[^\x20-\x7e]/.test(text)) return text;
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu,
    (character) =>
      character.split("").map((unit) =>
        `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
      ).join(""),
  );
}

/** Replaces what would steer a terminal: what {@linkcode escapeControls} does, but tabs stay. */
export function harmless(text: string): string {
  return text.split("\t").map(escapeControls).join("\t");
}

/** Writes all of `content` to a stream such as `Deno.stdout`. */
export async function writeAll(
  stream: { write(bytes: Uint8Array): Promise<number> },
  content: string | Uint8Array,
): Promise<void> {
  let bytes = typeof content === "string"
    ? new TextEncoder().encode(content)
    : content;
  while (bytes.length > 0) bytes = bytes.subarray(await stream.write(bytes));
}
