/** The parts of a page that a program writes. */

/**
 * Replaces what stands between two marks in `page`, and formats the page.
 *
 * @throws {Error} If the page lacks a mark.
 */
export async function writeBetween(
  page: URL,
  { begin, end, body }: { begin: string; end: string; body: string },
): Promise<void> {
  const text = await Deno.readTextFile(page);
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) {
    throw new Error(
      `Cannot write ${page.pathname}: a mark is missing, expected "${begin}" and "${end}"`,
    );
  }
  await writeFormatted(
    page,
    `${text.slice(0, from)}${begin}\n\n${body}\n${text.slice(to)}`,
  );
}

/** Writes a file as `deno task fmt` would have it. */
export async function writeFormatted(file: URL, text: string): Promise<void> {
  await Deno.writeTextFile(file, text);
  const args = ["fmt", "--quiet", file.pathname];
  await new Deno.Command(Deno.execPath(), { args }).spawn().status;
}
