/**
 * Loaded into a process that is watched, before its own program: tells how much
 * memory it really uses. What the kernel counts as resident has also what the
 * C library keeps for later, which depends on what was freed in which order.
 *
 * Writes a line of JSON over and over into the file of its home that SOAK_PROBE names.
 */

/** What a watched process says about its memory, in bytes. */
export interface Probe {
  /** What malloc(3) has handed out: the runtime's own memory, and messages. */
  readonly mallocBytes: number;
  /** JavaScript's objects, also those not needed any more. */
  readonly heapBytes: number;
  /** How late the last line was written, in milliseconds. */
  readonly lateMs: number;
}

const intervalMs = 1_000;
/** As long as no line ever is, so that each one replaces the last. */
const lineLength = 120;

function start(file: string): void {
  // mallinfo(3): ten lengths.
  const libc = Deno.dlopen("libc.so.6", {
    mallinfo2: {
      parameters: [],
      result: { struct: Array<"usize">(10).fill("usize") },
    },
  });
  // Open files stay so when staps gives its rights up.
  const output = Deno.openSync(file, { create: true, write: true });
  let dueMs = performance.now();
  const write = (): void => {
    const lateMs = Math.max(0, Math.round(performance.now() - dueMs));
    dueMs = performance.now() + intervalMs;
    const fields = new BigUint64Array(
      Uint8Array.from(libc.symbols.mallinfo2()).buffer,
    );
    const probe: Probe = {
      mallocBytes: Number(fields[7]! + fields[4]!),
      heapBytes: Deno.memoryUsage().heapUsed,
      lateMs,
    };
    output.seekSync(0, Deno.SeekMode.Start);
    output.writeSync(
      new TextEncoder().encode(JSON.stringify(probe).padEnd(lineLength)),
    );
  };
  write();
  Deno.unrefTimer(setInterval(write, intervalMs));
}

const { SOAK_PROBE: file, HOME: home } = Deno.env.toObject();
if (file !== undefined) start(`${home}/${file}`);
