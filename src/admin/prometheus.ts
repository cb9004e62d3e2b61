/**
 * The figures in Prometheus's text format 0.0.4:
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */
import { Histogram } from "../common/histogram.ts";
import {
  type Figure,
  figures,
  type FigureSource,
  type Reading,
  snapshot,
} from "./figures.ts";

/** The content type of {@linkcode prometheusText}. */
export const contentType = "text/plain; version=0.0.4; charset=utf-8";

/** Gets the present figures of `source` as text. */
export function prometheusText(source: FigureSource): string {
  const now = snapshot(source);
  return figures.map((figure) => figureText(figure, figure.read(now)))
    .filter((text) => text !== "").join("\n");
}

/** Gets one figure with its heading; an empty text if there is nothing to show. */
export function figureText(
  { name, type, help, label = "" }: Omit<Figure, "read">,
  reading: Reading,
): string {
  const lines = samples(name, label, reading);
  if (lines.length === 0) return "";
  return [
    `# HELP ${name} ${escapeLine(help)}`,
    `# TYPE ${name} ${type}`,
    ...lines,
    "",
  ].join("\n");
}

function samples(name: string, label: string, reading: Reading): string[] {
  if (reading === undefined) return [];
  if (typeof reading === "number") return [`${name} ${numberText(reading)}`];
  if (reading instanceof Histogram) return histogramSamples(name, reading);
  return Object.entries(reading).map(([value, count]) =>
    `${name}{${label}="${escapeLabel(value)}"} ${numberText(count)}`
  );
}

/** Gets a histogram's samples: a bucket here counts what is in smaller ones, too. */
function histogramSamples(
  name: string,
  { bounds, counts, sum }: Histogram,
): string[] {
  let count = 0;
  const buckets = counts.map((inBucket, index) => {
    count += inBucket;
    return `${name}_bucket{le="${
      numberText(bounds[index] ?? Infinity)
    }"} ${count}`;
  });
  return [
    ...buckets,
    `${name}_sum ${numberText(sum)}`,
    `${name}_count ${count}`,
  ];
}

/** Gets a number as Go reads it. */
function numberText(value: number): string {
  return String(value).replace("Infinity", "Inf").replace(/^Inf/, "+Inf");
}

function escapeLine(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeLine(text).replaceAll('"', '\\"');
}
