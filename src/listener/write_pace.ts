/**
 * Which writes begin in one turn of the event loop, and in which order.
 *
 * Tokio, the runtime's event loop, lets a task do 128 reads and writes in one
 * turn. Each one beyond that is put off, asks to be woken, and is tried again
 * in every turn until it is among the first 128: in a fan-out to 500 that costs
 * more than the writes. So those beyond begin in the next turn, and before it
 * what came in meanwhile is read. Large writes take the kernel longer, so fewer
 * of them begin in one turn.
 *
 * Those that were quiet go first, as in RFC 8290, section 1.3: somebody's
 * message doesn't wait behind the five hundred writes of another's flood. Quiet
 * is who writes nothing for a while, or less than half of what the others do.
 */

/** Half of what Tokio allows: the other half is for reads. */
const writesPerTurn = 64;
/** With so many bytes a turn is full, too: the kernel takes a fifth of a millisecond to copy them. */
const bytesPerTurn = 256 * 1024;
/** How much of both may be of those that were quiet: the others go on, too. */
const quietPerTurn = writesPerTurn * 3 / 4;
const quietBytesPerTurn = bytesPerTurn * 3 / 4;
/** A write takes as much time as copying so many bytes, beside its own. */
const writeCost = 1024;

/** Something that writes. */
export interface Writer {
  /** How much its next write takes, in bytes. */
  readonly nextBytes: number;
  /** Its turn has come. */
  writeNow(): void;
  /** For the pace alone: in which round it wrote last. 0 at first. */
  round: number;
  /** For the pace alone: what its writes in that round cost, in bytes. 0 at first. */
  spent: number;
}

let begun = 0;
let begunBytes = 0;
const quiet: Writer[] = [];
const busy: Writer[] = [];
/** Counts how often those who are busy have had their turn, each of them. */
let round = 2;
/** How many of them this round has still to come to. */
let leftInRound = 0;
/** How many have had their turn in this round, and what they wrote. */
let writersInRound = 0;
let spentInRound = 0;
/** What each of them wrote in the round before, on average. */
let fairShare = 0;

/** Says that something was read: most likely that is another turn. */
export function noteRead(): void {
  if (isSomeoneWaiting()) return;
  begun = 0;
  begunBytes = 0;
}

/**
 * Says whether `writer` may begin a write at once; else `writeNow()` is called
 * in a later turn.
 */
export function mayWrite(writer: Writer): boolean {
  if (!isSomeoneWaiting()) {
    if (hasRoom(writesPerTurn, bytesPerTurn)) {
      begin(writer);
      return true;
    }
    setImmediate(beginTurn);
  }
  // Whoever is busy and has just got rid of all that waited isn't quiet yet.
  const isQuiet = writer.round < round - 1 || writer.spent < fairShare / 2;
  (isQuiet ? quiet : busy).push(writer);
  return false;
}

function isSomeoneWaiting(): boolean {
  return busy.length > 0 || quiet.length > 0;
}

/** Says whether less than so many `writes` and `bytes` have begun in this turn. */
function hasRoom(writes: number, bytes: number): boolean {
  return begun < writes && begunBytes < bytes;
}

/** Counts that `writer` writes now. */
function begin(writer: Writer): void {
  begun++;
  begunBytes += writer.nextBytes;
  if (writer.round !== round) {
    writer.round = round;
    writer.spent = 0;
  }
  writer.spent += costOf(writer);
}

function costOf({ nextBytes }: Writer): number {
  return nextBytes + writeCost;
}

function beginTurn(): void {
  begun = 0;
  begunBytes = 0;
  const first = take(quiet, quietPerTurn, quietBytesPerTurn);
  const then = take(busy, writesPerTurn, bytesPerTurn);
  if (then.length > 0) {
    writersInRound += then.length;
    for (const writer of then) spentInRound += costOf(writer);
    leftInRound -= then.length;
    if (leftInRound <= 0) nextRound();
  }
  if (isSomeoneWaiting()) setImmediate(beginTurn);
  for (const writer of first) writer.writeNow();
  for (const writer of then) writer.writeNow();
}

/** Takes the first of `writers`, until so many `writes` or `bytes` have begun in this turn. */
function take(writers: Writer[], writes: number, bytes: number): Writer[] {
  let count = 0;
  while (count < writers.length && hasRoom(writes, bytes)) {
    begin(writers[count++]!);
  }
  return count === 0 ? none : writers.splice(0, count);
}

function nextRound(): void {
  fairShare = spentInRound / writersInRound;
  spentInRound = writersInRound = 0;
  round++;
  leftInRound = busy.length;
}

const none: Writer[] = [];
