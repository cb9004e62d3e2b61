/** Tables for people and for programs. */

/** A table: every row has a cell for each column. */
export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Gets a table in Markdown; numbers stand on the right. */
export function markdown({ columns, rows }: Table): string {
  const isNumbers = (i: number): boolean =>
    rows.every((cells) => /^(≤ )?\d|^–$|^$/.test(cells[i]!));
  const rule = columns.map((_, i) => i > 0 && isNumbers(i) ? "--:" : "---");
  return [columns, rule, ...rows]
    .map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

/** Gets a table as tab-separated values. */
export function tsv({ columns, rows }: Table): string {
  return [columns, ...rows].map((cells) => cells.join("\t") + "\n").join("");
}

/** Gets a table for a terminal, in columns. */
export function text({ columns, rows }: Table): string {
  const all = [columns, ...rows];
  const widths = columns.map((_, i) =>
    Math.max(...all.map((cells) => cells[i]!.length))
  );
  return all.map((cells) =>
    cells.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd() + "\n"
  ).join("");
}

/** Gets a number with three digits that count, or all of its whole part; a dash for none. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}
