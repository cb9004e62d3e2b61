/** Charts as SVG, readable on a light and a dark page. */

const font = `font-family="sans-serif" font-size="12"`;
const colours = [
  "#0072b2",
  "#e69f00",
  "#009e73",
  "#cc79a7",
  "#56b4e9",
  "#d55e00",
  "#999999",
  "#b8a200",
  "#6a3d9a",
];
const ink = "#777777";

/** A bar chart: groups of bars, one bar for each series. */
export interface BarChart {
  title: string;
  unit: string;
  /** Each has a scale of its own. */
  groups: readonly string[];
  /** A value for each group; undefined where there is none. */
  series: readonly {
    title: string;
    values: readonly (number | undefined)[];
    /** Whether it is what the chart is about. */
    stands?: boolean;
  }[];
}

/** How many times as long as a group's median a bar may be; what is longer is cut. */
const longestBar = 3;

/** Gets a bar chart with horizontal bars. */
export function barChart({ title, unit, groups, series }: BarChart): string {
  const bar = 14;
  const left = 200;
  const width = 760;
  const room = width - left - 90;
  const parts: string[] = [text(title, { x: 10, y: 20, bold: true })];
  let y = 40;
  for (const [g, group] of groups.entries()) {
    parts.push(text(group, { x: 10, y: y + 11, bold: true }));
    y += 18;
    const values = series.map(({ values }) => values[g])
      .filter((value) => value !== undefined).toSorted((a, b) => a - b);
    const cutAt = (values[values.length >> 1] ?? 1) * longestBar;
    const max = Math.max(...values.filter((value) => value <= cutAt), 1e-9);
    for (const { title, values, stands } of series) {
      const value = values[g];
      if (value === undefined) continue;
      const isCut = value > cutAt;
      const length = isCut ? room + 20 : Math.max(1, value / max * room);
      parts.push(
        text(title, {
          x: left - 8,
          y: y + 11,
          anchor: "end",
          bold: stands ?? false,
        }),
        `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="${
          bar - 2
        }" fill="${stands ? colours[0] : "#b5b5b5"}"/>`,
      );
      if (isCut) {
        const x = left + room;
        parts.push(
          `<path d="M${x} ${y + bar} l6 ${-bar - 2} h5 l-6 ${
            bar + 2
          } z" fill="white" stroke="${ink}"/>`,
        );
      }
      parts.push(
        text(`${short(value)} ${unit}`, { x: left + length + 6, y: y + 11 }),
      );
      y += bar;
    }
    y += 10;
  }
  return svg(parts, { width, height: y + 5 });
}

/** A line chart. */
export interface LineChart {
  title: string;
  x: string;
  y: string;
  /** `time`: from 0 on, each step as wide. Default `logarithmic`: with a tick at every point. */
  scale?: "logarithmic" | "time";
  series: readonly {
    title: string;
    points: readonly { x: number; y: number }[];
  }[];
}

/** Gets a line chart; its y axis begins at 0. */
export function lineChart(
  { title, x, y, series, scale = "logarithmic" }: LineChart,
): string {
  const [width, height] = [760, 360];
  const [left, right, top, bottom] = [60, 150, 40, 45];
  const points = series.flatMap(({ points }) => points);
  const isTime = scale === "time";
  const xs = [...new Set(points.map(({ x }) => x))].toSorted((a, b) => a - b);
  const place = isTime ? (value: number): number => value : Math.log;
  const [minX, maxX] = [
    isTime ? 0 : Math.log(xs[0] ?? 1),
    place(xs.at(-1) ?? 10),
  ];
  const rows = ticks(Math.max(...points.map(({ y }) => y), 1e-9) * 1.1);
  const step = rows[1]!;
  const maxY = rows.at(-1)! + step;
  const atX = (value: number): number =>
    left +
    (place(value) - minX) / (maxX - minX || 1) * (width - left - right);
  const atY = (value: number): number =>
    height - bottom - value / maxY * (height - top - bottom);
  const parts = [text(title, { x: 10, y: 20, bold: true })];
  for (const value of [...rows, maxY]) {
    parts.push(
      `<line x1="${left}" x2="${width - right}" y1="${
        atY(value).toFixed(1)
      }" y2="${atY(value).toFixed(1)}" ` +
        `stroke="${ink}" stroke-opacity="0.3"/>`,
      text(String(value), { x: left - 6, y: atY(value) + 4, anchor: "end" }),
    );
  }
  for (const value of isTime ? ticks(maxX) : xs) {
    parts.push(
      text(String(value), {
        x: atX(value),
        y: height - bottom + 16,
        anchor: "middle",
      }),
    );
  }
  parts.push(
    text(x, { x: (left + width - right) / 2, y: height - 8, anchor: "middle" }),
  );
  parts.push(text(y, { x: 10, y: top - 6 }));
  for (const [s, { title, points }] of series.entries()) {
    const colour = colours[s % colours.length]!;
    const line = points.map(({ x, y }) =>
      `${atX(x).toFixed(1)},${atY(y).toFixed(1)}`
    ).join(" ");
    parts.push(
      `<polyline points="${line}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    );
    // A curve of hundreds of points shows them by itself.
    for (const { x, y } of isTime ? [] : points) {
      parts.push(
        `<circle cx="${atX(x).toFixed(1)}" cy="${
          atY(y).toFixed(1)
        }" r="3" fill="${colour}"/>`,
      );
    }
    const last = points.at(-1);
    if (last) {
      parts.push(
        text(title, {
          x: atX(last.x) + 8,
          y: atY(last.y) + 4 + s * 14,
          fill: colour,
        }),
      );
    }
  }
  return svg(parts, { width, height });
}

/** Gets round numbers from 0 to `max`, about six of them. */
function ticks(max: number): number[] {
  const power = 10 ** Math.floor(Math.log10(max / 6));
  const step = power *
    ([1, 2, 5, 10].find((factor) => max / (power * factor) <= 6) ?? 10);
  return Array.from(
    { length: Math.floor(max / step + 1e-9) + 1 },
    (_, i) => Number((i * step).toPrecision(3)),
  );
}

/** Gets a number with three digits that count. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function text(
  content: string,
  at: { x: number; y: number; anchor?: string; bold?: boolean; fill?: string },
): string {
  const anchor = at.anchor ? ` text-anchor="${at.anchor}"` : "";
  const weight = at.bold ? ` font-weight="bold"` : "";
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
    .replaceAll("`", "");
  return `<text x="${at.x.toFixed(1)}" y="${at.y.toFixed(1)}" ${font} fill="${
    at.fill ?? ink
  }"${anchor}${weight}>${escaped}</text>`;
}

function svg(
  parts: readonly string[],
  { width, height }: { width: number; height: number },
): string {
  const head =
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`;
  return [head, ...parts, "</svg>", ""].join("\n");
}
