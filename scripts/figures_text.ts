/** The figures in words: the reference of the metrics, made from the table in `figures.ts`. */
import { figures } from "../src/admin/figures.ts";

/** Gets the table of all figures in Markdown. */
export function renderFigures(): string {
  const rows = figures.map(({ name, type, help, label }) =>
    `| \`${name}\` | ${type} | ${
      label === undefined ? "" : `\`${label}\``
    } | ${help} |`
  );
  return [
    "| Name | Type | Label | Meaning |",
    "| --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}
