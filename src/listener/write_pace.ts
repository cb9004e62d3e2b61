/**
 * How many writes begin in one turn of the event loop.
 *
 * Tokio, the runtime's event loop, lets a task do 128 reads and writes in one
 * turn. Each one beyond that is put off, asks to be woken, and is tried again
 * in every turn until it is among the first 128: in a fan-out to 500 that costs
 * more than the writes. So those beyond begin in the next turn.
 */

/** Half of what Tokio allows: the other half is for reads. */
const writesPerTurn = 64;

/** Something that writes. */
export interface Writer {
  /** Its turn has come. */
  writeNow(): void;
}

let begun = 0;
let waiting: Writer[] = [];

/** Says that something was read: most likely that is another turn. */
export function noteRead(): void {
  if (waiting.length === 0) begun = 0;
}

/**
 * Says whether `writer` may begin a write at once; else `writeNow()` is called
 * in a later turn. Writers take turns in the order in which they asked.
 */
export function mayWrite(writer: Writer): boolean {
  if (begun < writesPerTurn) {
    begun++;
    return true;
  }
  if (waiting.push(writer) === 1) setImmediate(beginTurn);
  return false;
}

function beginTurn(): void {
  const writers = waiting;
  waiting = writers.length > writesPerTurn ? writers.splice(writesPerTurn) : [];
  begun = writers.length;
  if (waiting.length > 0) setImmediate(beginTurn);
  for (const writer of writers) writer.writeNow();
}
