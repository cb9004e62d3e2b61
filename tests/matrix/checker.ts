/**
 * Decides from what clients sent and got alone, without the server's code, who
 * missed what, and who was closed for nothing.
 *
 * A *seat* is a place for a client in a channel on a node. Its client, if it is
 * closed, comes back as another one: each is a *stay*. These are the rules:
 *
 * - **Due** to a stay is every message of another one of its channel that was
 *   sent after its `open`; to one that stayed to the end all of them, to one
 *   that was closed those before the last that it got, since a close comes
 *   before a gap. What a sender sent right before it was closed may not have
 *   reached its node: of it, due is what came before the last that anybody got.
 * - **Lost** is what was due and didn't come.
 * - **Wrong** is what came twice, in another order, changed, or back to its
 *   sender.
 * - **Closed in vain** is a stay to which everything that was sent before its
 *   close came, or came to the next one on its seat: it was only late. What was
 *   sent right before the close may have been on its way, and counts for
 *   neither. A node that has lost its queue can't know what was in it, and
 *   closes everybody; on a node that has kept it nobody may be closed in vain.
 */

/** A message as it came. */
export interface Arrival {
  /** The index of the stay that sent it. */
  readonly from: number;
  /** Counted from 0. */
  readonly number: number;
  readonly ms: number;
}

/** A client's connection, from its `open` on. Times are those of one clock, in milliseconds. */
export interface Stay {
  /** Those with the same one follow each other. */
  readonly seat: number;
  readonly node: number;
  readonly channel: number;
  readonly openMs: number;
  /** How it was closed by its node; absent for one that stayed. */
  end?: { readonly ms: number; readonly code: number };
  /** When it sent each of its messages. */
  readonly sentMs: number[];
  /** In the order in which they came. */
  readonly got: Arrival[];
  /** How many messages came as the other kind, or weren't anybody's. */
  changed: number;
}

/** What a checker found. */
export interface Verdict {
  readonly messages: number;
  /** Messages that came from another node, each checked. */
  readonly deliveries: number;
  readonly lost: number;
  /** The first of these, in words. */
  readonly losses: readonly string[];
  /** What came twice, out of order, changed or back to its sender. */
  readonly wrong: number;
  /** How many clients were closed, by code. */
  readonly closed: Readonly<Record<number, number>>;
  /** How many of them had missed nothing. */
  readonly closedInVain: number;
  /** How many of these were on a node that had kept its queue. */
  readonly closedWrongly: number;
  /** The longest time for which a client heard nothing from one on another node, in milliseconds. */
  readonly silenceMs: number;
}

/** How many losses are told in words. */
const shownLosses = 10;

/** What was sent so shortly before a close may have been on its way, in milliseconds. */
const onTheWayMs = 200;

/**
 * Gets the verdict on all stays of a run, in the order in which they were opened.
 *
 * @param lostQueues The nodes that lost their queue, as the brokers know.
 */
export function judge(
  stays: readonly Stay[],
  lostQueues: ReadonlySet<number>,
): Verdict {
  const closed: Record<number, number> = {};
  for (const { end } of stays) {
    if (end) closed[end.code] = (closed[end.code] ?? 0) + 1;
  }
  const reached = lastNumbers(stays);
  const pairs = stays.flatMap((to) =>
    [...stays.entries()]
      .filter(([, from]) => from.channel === to.channel && from !== to)
      .map(([i, from]) => ({
        to,
        from,
        numbers: numbersOf(to, i),
        reached: reached[i]!,
      }))
  );
  const losses = pairs.flatMap((pair) =>
    lostIn(pair).map((number) => ({ ...pair, number }))
  );
  const inVain = stays.filter((stay) =>
    stay.end !== undefined && !hasMissed(stay, { stays, reached })
  );
  return {
    messages: sum(stays.map(({ sentMs }) => sentMs.length)),
    deliveries: sum(
      pairs.filter(isAcross).map(({ numbers }) => new Set(numbers).size),
    ),
    lost: losses.length,
    losses: losses.slice(0, shownLosses).map(describe),
    wrong: sum(stays.map((stay, i) => wrongIn(stay, i, stays))),
    closed,
    closedInVain: inVain.length,
    closedWrongly: inVain.filter(({ node }) => !lostQueues.has(node)).length,
    silenceMs: longestSilence(stays),
  };
}

/** A receiver and a sender, and what came, in the order in which it came. */
interface Pair {
  readonly to: Stay;
  readonly from: Stay;
  readonly numbers: readonly number[];
  /** The last of the sender's messages that its node had for sure. */
  readonly reached: number;
}

function isAcross({ to, from }: Pair): boolean {
  return to.node !== from.node;
}

function numbersOf({ got }: Stay, from: number): number[] {
  return got.filter((arrival) => arrival.from === from)
    .map(({ number }) => number);
}

/** Gets the numbers of the messages that were lost. */
function lostIn({ to, from, numbers, reached }: Pair): number[] {
  const came = new Set(numbers);
  const last = to.end === undefined ? reached : Math.max(-1, ...numbers);
  return Array.from(from.sentMs.keys()).filter((number) =>
    from.sentMs[number]! > to.openMs && number <= last && !came.has(number)
  );
}

function describe(
  { to, from, number }: Pair & { readonly number: number },
): string {
  const at = (ms: number | undefined): string =>
    ms === undefined ? "never" : `${(ms / 1000).toFixed(3)} s`;
  const who = ({ node, seat, openMs, end }: Stay): string =>
    `seat ${seat} on node ${node + 1} (open ${at(openMs)}, closed ${
      at(end?.ms)
    })`;
  return `${who(to)} lost ${number} of ${who(from)}, sent ${
    at(from.sentMs[number])
  }`;
}

/** Gets for each stay the last of its messages that its node had for sure; -1 for none. */
function lastNumbers(stays: readonly Stay[]): number[] {
  const last = stays.map(({ end, sentMs }) => end ? -1 : sentMs.length - 1);
  for (const { got } of stays) {
    for (const { from, number } of got) {
      if (number > (last[from] ?? Infinity)) last[from] = number;
    }
  }
  return last;
}

function wrongIn(
  { got, channel, changed }: Stay,
  index: number,
  stays: readonly Stay[],
): number {
  const last = new Map<number, number>();
  let wrong = changed;
  for (const { from, number } of got) {
    const isForeign = from === index || stays[from]?.channel !== channel ||
      number >= stays[from].sentMs.length;
    if (isForeign || number <= (last.get(from) ?? -1)) wrong++;
    else last.set(from, number);
  }
  return wrong;
}

/** Tells whether something that was sent to a stay before it was closed came neither to it nor to the next ones. */
function hasMissed(
  stay: Stay,
  { stays, reached }: {
    stays: readonly Stay[];
    reached: readonly number[];
  },
): boolean {
  const { seat, channel, openMs, end } = stay;
  const came = new Set(
    stays.filter((each) => each.seat === seat && each.openMs >= openMs)
      .flatMap(({ got }) => got.map(({ from, number }) => `${from} ${number}`)),
  );
  return stays.some((from, i) =>
    from.channel === channel && from.seat !== seat &&
    from.sentMs.some((ms, number) =>
      ms > openMs && ms <= end!.ms - onTheWayMs && number <= reached[i]! &&
      !came.has(`${i} ${number}`)
    )
  );
}

/** Gets the longest time between two messages of a seat to one on another node. */
function longestSilence(stays: readonly Stay[]): number {
  const lastMs = new Map<string, number>();
  let longestMs = 0;
  const arrivals = stays.flatMap((to) =>
    to.got.map((arrival) => ({ to, arrival }))
  )
    .toSorted((a, b) => a.arrival.ms - b.arrival.ms);
  for (const { to, arrival: { from, ms } } of arrivals) {
    const sender = stays[from];
    if (sender === undefined || sender.node === to.node) continue;
    const way = `${sender.seat} ${to.seat}`;
    longestMs = Math.max(longestMs, ms - (lastMs.get(way) ?? ms));
    lastMs.set(way, ms);
  }
  return longestMs;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
