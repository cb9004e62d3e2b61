/** The figures as text for Prometheus; the only code that knows prom-client. */
import { Counter, Gauge, type Metric, Registry } from "prom-client";
import {
  type Figure,
  figures,
  type Node,
  type Snapshot,
  snapshot,
} from "./figures.ts";
import { Histogram } from "../common/histogram.ts";

/** The content type of {@linkcode PrometheusText.text}: Prometheus's text format. */
export const contentType = Registry.PROMETHEUS_CONTENT_TYPE;

/** Turns a node's numbers into text, when somebody asks. */
export class PrometheusText {
  readonly #node: Node;
  readonly #registry = new Registry();
  #snapshot: Snapshot;
  #writing: Promise<string> | undefined;

  constructor(node: Node) {
    this.#node = node;
    this.#snapshot = snapshot(node);
    for (const figure of figures) this.#register(figure);
  }

  /** Gets the text. Those who ask at once get the same. */
  text(): Promise<string> {
    return this.#writing ??= this.#write().finally(() =>
      this.#writing = undefined
    );
  }

  async #write(): Promise<string> {
    this.#snapshot = snapshot(this.#node);
    const text = await this.#registry.metrics();
    // A figure that a node doesn't have leaves its heading behind.
    return text.replace(/# HELP .*\n# TYPE .*\n(?=\n|$)\n*/g, "");
  }

  #register(figure: Figure): void {
    const { name, type, help, label } = figure;
    const read = (): ReturnType<Figure["read"]> => figure.read(this.#snapshot);
    if (type === "histogram") {
      this.#registry.registerMetric(histogram(figure, read));
      return;
    }
    const Kind = type === "counter" ? Counter : Gauge;
    new Kind({
      name,
      help,
      labelNames: label === undefined ? [] : [label],
      registers: [this.#registry],
      collect(): void {
        this.reset();
        const reading = read();
        if (typeof reading === "number") this.inc(reading);
        else if (reading === undefined) this.remove();
        else {
          for (const [value, count] of Object.entries(reading)) {
            this.inc({ [label!]: value }, count);
          }
        }
      },
    });
  }
}

/** Gets a metric that shows counts which are kept elsewhere; prom-client's own counts by itself. */
function histogram(
  { name, help }: Figure,
  read: () => ReturnType<Figure["read"]>,
): Metric {
  const get = (): unknown => {
    const { bounds, counts, sum } = read() as Histogram;
    let count = 0;
    const values = counts.map((inBucket, index) => ({
      metricName: `${name}_bucket`,
      labels: { le: bounds[index] ?? "+Inf" },
      value: count += inBucket,
    }));
    return {
      name,
      help,
      type: "histogram",
      aggregator: "sum",
      values: [
        ...values,
        { metricName: `${name}_sum`, labels: {}, value: sum },
        { metricName: `${name}_count`, labels: {}, value: count },
      ],
    };
  };
  return { name, help, get, collect: () => {} } as unknown as Metric;
}
