/** Histories in words, for tests of the checker: `1 joins; 2 joins on node 1; 1 sends 1; 2 gets 1 of 1`. */
import { protocol } from "./checked_crowd.ts";
import { Checker, type CheckerOptions } from "./checker.ts";
import type { FaultKind } from "./excuses.ts";
import type { Content, Event, HistoryEvent } from "./history.ts";

/** What each line means; all of it happens in one channel, and a message's digest is its number. */
const meanings: readonly [RegExp, (...words: string[]) => HistoryEvent[]][] = [
  [/^(\d+) joins(?: on node (\d+))?$/, (id, node = "0") => [
    dial(id!),
    { event: "open", connection: Number(id), node: Number(node) },
  ]],
  [/^(\d+) is refused with (\d+)$/, (id, status) => [
    dial(id!),
    {
      ...{ event: "refused", connection: Number(id), status: Number(status) },
      reason: "",
    },
  ]],
  [/^(\d+) sends (\d+)( unnamed| empty)?$/, (id, number, how) => [{
    ...{ event: "send", connection: Number(id), number: Number(number) },
    ...{
      named: how === undefined,
      ...message(how === " empty" ? "0" : number!),
    },
  }]],
  [/^(\d+) gets (\d+) of (\d+)( changed)?$/, (id, number, publisher, how) => [{
    ...{ event: "receive", connection: Number(id), number: Number(number) },
    ...{ publisher: Number(publisher), ...message(how ? "0" : number!) },
  }]],
  [/^(\d+) gets (\d+) unnamed( as binary)?$/, (id, number, how) => [{
    ...{ event: "receive", connection: Number(id), publisher: 0, number: 0 },
    ...{ ...message(number!), kind: how ? "binary" : "text" },
  }]],
  [/^(\d+) says goodbye$/, (id) => [leave(id!, "close")]],
  [/^(\d+) leaves$/, (id) => [
    leave(id!, "close"),
    close(id!, { by: "client", code: 1000, reason: "" }),
  ]],
  [/^(\d+) resets$/, (id) => [
    leave(id!, "reset"),
    close(id!, { by: "client", code: 1006, reason: "" }),
  ]],
  [/^(\d+) is cut off$/, (id) => [
    close(id!, { by: "nobody", code: 1006, reason: "" }),
  ]],
  [/^(\d+) is closed with (\d+) (.+)$/, (id, code, reason) => [
    close(id!, { by: "server", code: Number(code), reason: reason! }),
  ]],
  [/^fault (\d+) is a (\S+?)(?: of node (\d+))?$/, (id, kind, node = "-1") => [{
    ...{ event: "fault", fault: Number(id), kind: kind as FaultKind },
    node: Number(node),
  }]],
  [/^fault (\d+) ends$/, (id) => [{ event: "healed", fault: Number(id) }]],
  [/^settled$/, () => [{ event: "settled", channel: 1 }]],
];

/** Gets the events of a history; they are a millisecond apart, but for lines that begin with `at 2000: `. */
export function eventsOf(history: string): Event[] {
  let timeMs = 0;
  return history.split("; ").flatMap((line) => {
    const [, at, text] = /^(?:at (\d+): )?(.*)$/.exec(line)!;
    if (at !== undefined) timeMs = Number(at) - 1;
    for (const [pattern, read] of meanings) {
      const match = pattern.exec(text!);
      if (match === null) continue;
      return read(...match.slice(1))
        .map((event) => ({ ...event, timeMs: ++timeMs }));
    }
    throw new Error(`Expected a line of a history, got "${line}"`);
  });
}

/** Gets what a checker finds in a history: kinds and connections, such as `missing 2; close 1`. */
export function judge(
  history: string,
  options: Omit<CheckerOptions, "protocol"> = {},
): string {
  const checker = new Checker({ protocol, ...options });
  for (const event of eventsOf(history)) checker.take(event);
  return checker.finish().violations
    .map(({ kind, connection }) => `${kind} ${connection}`).join("; ");
}

function dial(id: string): HistoryEvent {
  return { event: "dial", connection: Number(id), channel: 1, door: 0 };
}

function leave(id: string, how: "close" | "reset"): HistoryEvent {
  const code = how === "close" ? 1000 : 1006;
  return { event: "leave", connection: Number(id), how, code };
}

function close(
  id: string,
  ending: { by: "client" | "server" | "nobody"; code: number; reason: string },
): HistoryEvent {
  return { event: "close", connection: Number(id), ...ending };
}

function message(digest: string): Content {
  return { kind: "text", bytes: 9, digest: Number(digest) };
}
