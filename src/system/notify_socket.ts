/**
 * A socket that datagrams are sent from to a unix socket, as sd_notify(3) does
 * it: through the C library, because the runtime's own datagrams need the
 * permission to reach the whole network for it, which a node gives up.
 */

/** Values of <sys/socket.h> on Linux. */
const afUnix = 1;
const sockDatagram = 2;
const sockCloseOnExec = 0o2000000;
const msgNoSignal = 0x4000;
/** The longest path in a struct sockaddr_un, unix(7). */
const maxPathBytes = 107;

const functions = {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  sendto: {
    parameters: ["i32", "buffer", "usize", "i32", "buffer", "u32"],
    result: "isize",
    // The other end may be slow to read.
    nonblocking: true,
  },
  close: { parameters: ["i32"], result: "i32" },
} as const;

/**
 * The sending end. Needs the permission `ffi` for {@linkcode open}, and none
 * afterwards.
 */
export class NotifySocket implements Disposable {
  readonly #libc: Deno.DynamicLibrary<typeof functions>;
  readonly #fd: number;
  /** A struct sockaddr_un. */
  readonly #address: Uint8Array<ArrayBuffer>;

  private constructor(
    libc: Deno.DynamicLibrary<typeof functions>,
    { fd, address }: { fd: number; address: Uint8Array<ArrayBuffer> },
  ) {
    this.#libc = libc;
    this.#fd = fd;
    this.#address = address;
  }

  /**
   * Gets a socket that sends to `path`.
   *
   * @throws {Error} If there can be none.
   */
  static open(path: string): NotifySocket {
    const address = addressOf(path);
    const libc = Deno.dlopen("libc.so.6", functions);
    const fd = libc.symbols.socket(afUnix, sockDatagram | sockCloseOnExec, 0);
    if (fd < 0) {
      libc.close();
      throw new Error("the system has no socket for it");
    }
    return new NotifySocket(libc, { fd, address });
  }

  /** Sends `text` in one datagram, in another thread. Gets whether that worked. */
  async send(text: string): Promise<boolean> {
    const bytes = new TextEncoder().encode(text);
    const sent = await this.#libc.symbols.sendto(
      this.#fd,
      bytes,
      BigInt(bytes.length),
      msgNoSignal,
      this.#address,
      this.#address.length,
    );
    return sent === BigInt(bytes.length);
  }

  /** Closes it. Nothing may be under way. */
  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.#fd);
    this.#libc.close();
  }
}

/** Gets the struct sockaddr_un of `path`. */
function addressOf(path: string): Uint8Array<ArrayBuffer> {
  // unix(7) knows abstract ones too, which systemd itself uses no more.
  if (!path.startsWith("/")) {
    throw new Error('expected a path that begins with "/"');
  }
  const name = new TextEncoder().encode(path);
  if (name.length > maxPathBytes) {
    throw new Error(`expected a path of ${maxPathBytes} bytes at most`);
  }
  const address = new Uint8Array(2 + name.length + 1);
  // In the machine's byte order, which is the other one nowhere that the runtime runs.
  new DataView(address.buffer).setUint16(0, afUnix, true);
  address.set(name, 2);
  return address;
}
