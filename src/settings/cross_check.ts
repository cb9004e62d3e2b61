/** What is wrong between settings that are right by themselves. */
import type { ConfigProblem, Origin } from "./problems.ts";
import type { Config } from "./table.ts";

/** What is known of a configuration beside its values. */
export interface CrossCheckOptions {
  /** Where each value that isn't a default was set, by `section.key`. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** The problems of single settings: these have their defaults. */
  readonly problems: readonly ConfigProblem[];
}

/**
 * Checks what depends on several settings, and gets the problems. Each stands
 * at the first of its settings that isn't a default. A setting that has a problem
 * of its own isn't compared with others.
 */
export function crossCheck(
  config: Config,
  { origins, problems }: CrossCheckOptions,
): ConfigProblem[] {
  const found: ConfigProblem[] = [];
  const conflict = (
    names: readonly string[],
    words: Pick<ConfigProblem, "got" | "expected">,
  ): void => {
    const skipped = [...names, "staps.amqp"];
    const isSkipped = ({ section, key }: ConfigProblem): boolean =>
      key !== undefined && skipped.includes(`${section}.${key}`);
    if ([...problems, ...found].some(isSkipped)) return;
    const name = names.find((name) => origins.has(name)) ?? names[0]!;
    const [section, key] = name.split(".");
    const origin = origins.get(name) ?? { file: "the configuration" };
    found.push({ ...origin, section, key, ...words });
  };

  const { staps, limits, http, bridge, admin } = config;
  const smallest = `at least message_bytes, ${limits.messageBytes}`;
  for (
    const [name, value] of [
      ["limits.client_buffer_bytes", limits.clientBufferBytes],
      ["bridge.outbox_bytes", bridge.outboxBytes],
      ["bridge.queue_bytes", bridge.queueBytes],
    ] as const
  ) {
    if (value >= limits.messageBytes) continue;
    conflict([name, "limits.message_bytes"], {
      got: `${name.split(".")[1]} ${value}`,
      expected: smallest,
    });
  }
  if (http.waitingBytes < 2 * limits.messageBytes) {
    conflict(["http.waiting_bytes", "limits.message_bytes"], {
      got: `waiting_bytes ${http.waitingBytes}`,
      expected: `at least twice message_bytes, ${2 * limits.messageBytes}`,
    });
  }
  if (admin.socket === staps.socket) {
    conflict(["admin.socket", "staps.socket"], {
      got: "the path of the other socket",
      expected: "one of its own",
    });
  }
  if (bridge.hosts.length > 0 && staps.amqp === undefined) {
    conflict(["bridge.hosts"], {
      got: "hosts without a broker's URL",
      expected: '"amqp" in [staps] too',
    });
  }
  for (const name of ["ca", "cert", "key"] as const) {
    if (bridge[name] === undefined || staps.amqp?.tls) continue;
    conflict([`bridge.${name}`], {
      got: "a file that nothing would use",
      expected: '"amqp" in [staps] to begin with "amqps://"',
    });
  }
  if ((bridge.cert === undefined) !== (bridge.key === undefined)) {
    conflict(["bridge.cert", "bridge.key"], {
      got: "one without the other",
      expected: '"cert" and "key", or neither',
    });
  }
  return found;
}
