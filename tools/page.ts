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
  const written = `${text.slice(0, from)}${begin}\n\n${body}\n${
    text.slice(to)
  }`;
  await Deno.writeTextFile(page, written);
  const args = ["fmt", "--quiet", page.pathname];
  await new Deno.Command(Deno.execPath(), { args }).spawn().status;
}
