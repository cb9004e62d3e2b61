/**
 * Which writes begin in one turn of the event loop, and in which order.
 *
 * Tokio, the runtime's event loop, lets a task do 128 reads and writes in one
 * turn. Each one beyond that is put off, asks to be woken, and is tried again
 * in every turn until it is among the first 128: in a fan-out to 500 that costs
 * more than the writes. So those beyond begin in the next turn, and before it
 * what came in meanwhile is read.
 *
 * Those that were quiet go first, as in RFC 8290, section 1.3: somebody's
 * message doesn't wait behind the five hundred writes of another's flood.
 */

/** Half of what Tokio allows: the other half is for reads. */
const writesPerTurn = 64;
/** How many of these may be of those that were quiet: the others go on, too. */
const quietPerTurn = 48;

/** Something that writes. */
export interface Writer {
  /** Its turn has come. */
  writeNow(): void;
  /** For the pace alone: in which round it wrote last. 0 at first. */
  round: number;
}

let begun = 0;
const quiet: Writer[] = [];
const busy: Writer[] = [];
/** Counts how often those who are busy have had their turn, each of them. */
let round = 2;
/** How many of them this round has still to come to. */
let leftInRound = 0;

/** Says that something was read: most likely that is another turn. */
export function noteRead(): void {
  if (!isSomeoneWaiting()) begun = 0;
}

/**
 * Says whether `writer` may begin a write at once; else `writeNow()` is called
 * in a later turn.
 */
export function mayWrite(writer: Writer): boolean {
  if (begun < writesPerTurn) {
    begun++;
    writer.round = round;
    return true;
  }
  if (!isSomeoneWaiting()) setImmediate(beginTurn);
  // Whoever is busy and has just got rid of all that waited isn't quiet yet.
  const isQuiet = writer.round < round - 1;
  (isQuiet ? quiet : busy).push(writer);
  return false;
}

function isSomeoneWaiting(): boolean {
  return busy.length > 0 || quiet.length > 0;
}

function beginTurn(): void {
  const first = quiet.length === 0 ? none : quiet.splice(0, quietPerTurn);
  const then = busy.splice(0, writesPerTurn - first.length);
  leftInRound -= then.length;
  if (leftInRound <= 0) {
    round++;
    leftInRound = busy.length;
  }
  begun = first.length + then.length;
  // Nobody overtakes those who wait.
  if (isSomeoneWaiting()) {
    begun = writesPerTurn;
    setImmediate(beginTurn);
  }
  for (const writer of first) write(writer);
  for (const writer of then) write(writer);
}

function write(writer: Writer): void {
  writer.round = round;
  writer.writeNow();
}

const none: Writer[] = [];
